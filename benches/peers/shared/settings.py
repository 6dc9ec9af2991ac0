"""What a peer is told by whoever starts it, in its environment: processes that it starts in turn know it, too."""

import os
from pathlib import Path
from typing import NamedTuple


class Settings(NamedTuple):
    """How a peer is run."""

    model: Path
    """A version's directory: model.onnx, model.toml, labels.txt."""
    port: int
    workers: int
    """Processes, each with a session of one thread."""
    batch: int
    """Pictures that a worker takes at a time, at most."""


def settings() -> Settings:
    """From PEER_MODEL, PEER_PORT (8000), PEER_WORKERS (a core each) and PEER_BATCH (1)."""
    workers = int(os.environ.get("PEER_WORKERS", os.cpu_count() or 1))
    port, batch = int(os.environ.get("PEER_PORT", "8000")), int(os.environ.get("PEER_BATCH", "1"))
    return Settings(Path(os.environ["PEER_MODEL"]), port, workers, batch)
