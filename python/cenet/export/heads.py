"""What a network's outputs are: their names in the graph, their shapes, and the `[head]` table of `model.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from cenet.detection.decode import DecodeOptions
from cenet.detection.network import STRIDES
from cenet.export.errors import ExportError
from cenet.export.one_picture import OnePicture, OnePictureRetinaNet

ACTIVATIONS = ("softmax", "sigmoid", "none")
Arrays = Mapping[str, np.ndarray]


class Head(Protocol):
    """One kind of network that can be exported."""

    task: str
    """`task` in `model.toml`."""
    open_batch: bool
    """Whether the network takes several pictures at a time, and its outputs begin with a batch axis."""

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
    open_batch = True
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
    open_batch = True

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
        return {"head": head, "detection": _kept(self.decoding)}


@dataclass(frozen=True)
class BoxesHead:
    """A `OnePicture` of torchvision's detectors; `decoding` holds the defaults of the server.

    The graph has suppressed and sorted its boxes already, by the detector's own threshold and overlap: a request can
    only ask for fewer of them.
    """

    labels: int
    masks: bool = False
    decoding: DecodeOptions = field(default_factory=lambda: DecodeOptions(threshold=0.3))
    task = "detect"
    open_batch = False

    @classmethod
    def of(cls, module: OnePicture) -> "BoxesHead":
        detector = module.detector
        if isinstance(module, OnePictureRetinaNet):
            classes, kept = detector.head.classification_head.num_classes, detector
        else:
            classes, kept = detector.roi_heads.box_predictor.cls_score.out_features, detector.roi_heads
        threshold = max(0.3, kept.score_thresh)
        decoding = DecodeOptions(threshold, kept.nms_thresh, max_detections=kept.detections_per_img)
        return cls(classes - 1, "masks" in module.outputs, decoding)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("boxes", "labels", "scores", *(["masks"] if self.masks else []))

    def count_labels(self, outputs: Arrays) -> int:
        boxes, labels, scores = (outputs[name] for name in ("boxes", "labels", "scores"))
        count = len(boxes)
        if boxes.shape != (count, 4) or labels.shape != (count,) or scores.shape != (count,):
            raise ExportError("the outputs are not boxes [D, 4] with labels [D] and scores [D]")
        if self.masks and (outputs["masks"].ndim != 4 or outputs["masks"].shape[:2] != (count, 1)):
            raise ExportError(f"masks must be [D, 1, M, M] of {count} boxes, not {list(outputs['masks'].shape)}")
        if count == 0:
            raise ExportError(
                "nothing is found on the golden input, which would prove nothing: give a picture with objects, or "
                "build the detector with a lower score_threshold"
            )
        return self.labels

    def to_manifest(self) -> dict[str, dict[str, Any]]:
        masks = {"masks": "masks", "mask_frame": "box"} if self.masks else {}
        head = {"kind": "boxes", "boxes": "boxes", "classes": "labels", "scores": "scores", "first_class": 1, **masks}
        return {"head": head, "detection": _kept(self.decoding)}


def _kept(decoding: DecodeOptions) -> dict[str, Any]:
    """The `[detection]` table."""
    return {"threshold": decoding.threshold, "iou": decoding.iou, "max_detections": decoding.max_detections}
