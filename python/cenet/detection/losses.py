"""What a detector is trained on: focal loss for the classes, GIoU for the boxes, cross-entropy for the centre-ness."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from cenet.detection.assignment import BACKGROUND, Targets, centerness
from cenet.detection.network import LevelOutput


class Losses(NamedTuple):
    """Scalars; the classes' is a sum over cells divided by the number of cells with an object, the others are means."""

    classes: Tensor
    boxes: Tensor
    centerness: Tensor

    def total(self) -> Tensor:
        return self.classes + self.boxes + self.centerness


def detection_losses(outputs: Sequence[LevelOutput], targets: Sequence[Targets]) -> Losses:
    """Compares the heads' outputs for N pictures with one `Targets` a picture.

    A cell's box counts as much as the cell is central. Without any object, only the classes' loss is above 0.
    """
    logits, distances, central = (_flatten([level[part] for level in outputs]) for part in range(3))
    labels = torch.stack([target.labels for target in targets])
    positive = labels != BACKGROUND
    count = positive.sum().clamp_min(1)
    one_hot = F.one_hot(labels.clamp_min(0), logits.shape[2]).float() * positive[..., None]
    classes = sigmoid_focal_loss(logits, one_hot, alpha=0.25, gamma=2.0, reduction="sum") / count
    expected = torch.stack([target.distances for target in targets])[positive]
    weights = centerness(expected)
    overlap = generalised_iou(distances[positive], expected)
    boxes = ((1 - overlap) * weights).sum() / weights.sum().clamp_min(1e-6)
    entropy = F.binary_cross_entropy_with_logits(central[positive].squeeze(1), weights, reduction="sum") / count
    return Losses(classes, boxes, entropy)


def generalised_iou(found: Tensor, expected: Tensor) -> Tensor:
    """GIoU of boxes given by their distances from one point, [P, 4] each, to [P] in (-1, 1]."""
    inner, outer = torch.minimum(found, expected), torch.maximum(found, expected)
    intersection, hull = _area(inner), _area(outer)
    union = _area(found) + _area(expected) - intersection
    return intersection / union - (hull - union) / hull


def _area(distances: Tensor) -> Tensor:
    left, top, right, bottom = distances.unbind(1)
    return (left + right) * (top + bottom)


def _flatten(levels: Sequence[Tensor]) -> Tensor:
    """[N, D, h, w] a level to [N, P, D] in float32."""
    return torch.cat([level.flatten(2).transpose(1, 2).float() for level in levels], dim=1)
