"""From the heads' outputs to boxes: the reference of what the server does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from cenet.detection.assignment import cell_points
from cenet.detection.network import STRIDES, LevelOutput


@dataclass(frozen=True)
class DecodeOptions:
    """Scores below `threshold` are dropped; boxes of one class that overlap by more than `iou` suppress each other.

    At most `candidates` boxes of each level, the best ones, enter the suppression.
    """

    threshold: float = 0.05
    iou: float = 0.5
    candidates: int = 1000
    max_detections: int = 100


class Detections(NamedTuple):
    """The objects of one picture, best first."""

    boxes: Tensor
    """x1, y1, x2, y2 in pixels of the network's input, within it: [D, 4]"""
    scores: Tensor
    """[D] in 0 to 1"""
    labels: Tensor
    """[D] int64"""


def decode(
    outputs: Sequence[LevelOutput], options: DecodeOptions | None = None, strides: Sequence[int] = STRIDES
) -> list[Detections]:
    """One `Detections` a picture.

    A score is the geometric mean of the class's probability and the centre-ness.
    """
    options = options or DecodeOptions()
    sizes = [tuple(level.class_logits.shape[2:]) for level in outputs]
    points = cell_points(sizes, strides)
    area = (sizes[0][1] * strides[0], sizes[0][0] * strides[0])
    return [
        _decode_picture([LevelOutput(*(part[index] for part in level)) for level in outputs], points, area, options)
        for index in range(len(outputs[0].class_logits))
    ]


def _decode_picture(
    outputs: Sequence[LevelOutput], points: Sequence[Tensor], area: tuple[int, int], options: DecodeOptions
) -> Detections:
    levels = [_candidates(level, cells, options) for level, cells in zip(outputs, points, strict=True)]
    boxes, scores, labels = (torch.cat(parts) for parts in zip(*levels, strict=True))
    boxes = torch.stack([boxes[:, 0::2].clamp(0, area[0]), boxes[:, 1::2].clamp(0, area[1])], dim=2).flatten(1)
    kept = batched_nms(boxes, scores, labels, options.iou)[: options.max_detections]
    return Detections(boxes[kept], scores[kept], labels[kept])


def _candidates(level: LevelOutput, points: Tensor, options: DecodeOptions) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and labels of a level's best cells; `level` is of one picture, [D, h, w] each."""
    scores = (level.class_logits.sigmoid() * level.centerness.sigmoid()).sqrt().flatten(1)
    best, order = scores.flatten().topk(min(options.candidates, scores.numel()))
    order = order[best > options.threshold]
    labels, cells = order // scores.shape[1], order % scores.shape[1]
    left_top, right_bottom = level.distances.flatten(1).T[cells].split(2, dim=1)
    boxes = torch.cat([points[cells] - left_top, points[cells] + right_bottom], dim=1)
    return boxes, scores.flatten()[order], labels
