"""Object detection: an anchor-free detector on any CE backbone, its data, training, decoding and evaluation."""
