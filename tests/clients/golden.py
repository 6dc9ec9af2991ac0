"""The models under test: each with a picture, the tensor that it becomes, and the outputs that PyTorch gave for it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from serving import CHECKOUT

INPUT = "input"


class Golden(NamedTuple):
    """A model's golden pair."""

    name: str
    folder: Path
    labels: list[str]
    tensor: np.ndarray
    outputs: dict[str, np.ndarray]
    picture: bytes


def golden(model: Path) -> Golden:
    """Reads the pair of `model`, a model's folder of which version 1 is taken."""
    folder = CHECKOUT / model / "1"
    with np.load(folder / "golden.npz") as arrays:
        outputs = dict(arrays)
    labels = (folder / "labels.txt").read_text().split()
    picture = (folder / "golden.png").read_bytes()
    return Golden(model.name, folder.parent, labels, outputs.pop(INPUT), outputs, picture)


CLASSIFIER = golden(Path("tests/data/models/tiny_ce"))
DETECTOR = golden(Path("models/ce_fcos_bccd"))
SCORES = "logits"


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    """The tolerance is the golden pairs' own: a share of the largest value."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
