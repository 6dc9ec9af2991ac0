"""What a network's outputs are: their names in the graph, their shapes, and the `[head]` table of `model.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from cenet.detection.decode import DecodeOptions
from cenet.detection.network import STRIDES
from cenet.export.errors import ExportError

ACTIVATIONS = ("softmax", "sigmoid", "none")
Arrays = Mapping[str, np.ndarray]


class Head(Protocol):
    """One kind of network that can be exported."""

    task: str
    """`task` in `model.toml`."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the tensors that the module returns, in order."""

    def count_labels(self, outputs: Arrays) -> int:
        """How many labels outputs of these shapes are for; raises `ExportError` if they are no such head's."""

    def to_manifest(self) -> dict[str, dict[str, Any]]:
        """The `[head]` table, and for a detector `[detection]`, by their names."""


@dataclass(frozen=True)
class ClassifierHead:
    """One output, [N, labels]; `activation` makes scores of it: softmax, sigmoid or none."""

    activation: str = "softmax"
    task = "classify"
    outputs = ("logits",)

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ExportError(f"unknown activation {self.activation!r}; known: {', '.join(ACTIVATIONS)}")

    def count_labels(self, outputs: Arrays) -> int:
        logits = outputs["logits"]
        if logits.ndim != 2:
            raise ExportError(f"the module must return one tensor, [N, labels], not {list(logits.shape)}")
        return logits.shape[1]

    def to_manifest(self) -> dict[str, dict[str, Any]]:
        return {"head": {"kind": "scores", "output": "logits", "activation": self.activation}}


@dataclass(frozen=True)
class FcosHead:
    """Three outputs for each stride of a `cenet.detection` detector; `decoding` holds the defaults of the server."""

    decoding: DecodeOptions = field(default_factory=lambda: DecodeOptions(threshold=0.3))
    task = "detect"

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for level in self._levels() for name in (level["class"], level["box"], level["centerness"]))

    @staticmethod
    def _levels() -> list[dict[str, Any]]:
        return [
            {"stride": stride, **{part: f"{part}_{stride}" for part in ("class", "box", "centerness")}}
            for stride in STRIDES
        ]

    def count_labels(self, outputs: Arrays) -> int:
        counts = set()
        for level in self._levels():
            classes, box, centerness = (outputs[level[part]] for part in ("class", "box", "centerness"))
            cells = classes.shape[2:]
            if classes.ndim != 4 or box.shape[1:] != (4, *cells) or centerness.shape[1:] != (1, *cells):
                raise ExportError(f"the outputs at stride {level['stride']} are not those of an FCOS head")
            counts.add(classes.shape[1])
        if len(counts) != 1:
            raise ExportError(f"the levels have different numbers of labels: {sorted(counts)}")
        return counts.pop()

    def to_manifest(self) -> dict[str, dict[str, Any]]:
        head = {"kind": "fcos", "candidates_per_level": self.decoding.candidates, "levels": self._levels()}
        kept = {
            "threshold": self.decoding.threshold,
            "iou": self.decoding.iou,
            "max_detections": self.decoding.max_detections,
        }
        return {"head": head, "detection": kept}
