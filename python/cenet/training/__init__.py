"""Training of CE networks and their batch-normalised twins on a folder of pictures per class."""
