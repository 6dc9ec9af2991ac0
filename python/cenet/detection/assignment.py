"""Which cell is to predict which object: FCOS's rules, with centre sampling."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

BACKGROUND = -1


class Targets(NamedTuple):
    """For every cell of all levels, finest level first, row by row: P cells."""

    labels: Tensor
    """[P] int64, `BACKGROUND` where no object is to be predicted."""
    distances: Tensor
    """Left, top, right, bottom in pixels, [P, 4]; of no meaning for the background."""


def cell_points(sizes: Sequence[tuple[int, int]], strides: Sequence[int]) -> list[Tensor]:
    """x and y of the points that the cells look at, in pixels: [h * w, 2] for every level of (h, w) cells."""
    points = []
    for (height, width), stride in zip(sizes, strides, strict=True):
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        points.append(torch.stack([x.flatten(), y.flatten()], dim=1) * stride)
    return points


def size_ranges(strides: Sequence[int], limit: int = 8) -> list[tuple[float, float]]:
    """The longest distances that each level answers for, in pixels: up to `limit` strides, the coarsest without end."""
    bounds = [0.0, *(float(limit * stride) for stride in strides[:-1]), float("inf")]
    return list(itertools.pairwise(bounds))


def assign(
    points: Sequence[Tensor], strides: Sequence[int], boxes: Tensor, labels: Tensor, radius: float = 1.5
) -> Targets:
    """Gives each cell the smallest object of those it may predict.

    A cell may predict an object if its point lies in the box and within `radius` strides of the box's centre along
    each axis, and the longest of its distances falls into its level's range.

    Args:
        points: as `cell_points` gives them.
        boxes: x1, y1, x2, y2 in pixels of the input, [M, 4].
        labels: [M] int64.
    """
    every_point = torch.cat(list(points))
    if not len(boxes):
        return Targets(torch.full((len(every_point),), BACKGROUND), torch.zeros(len(every_point), 4))
    distances = torch.cat([every_point[:, None] - boxes[:, :2], boxes[:, 2:] - every_point[:, None]], dim=2)
    allowed = distances.amin(2) > 0
    allowed &= _is_central(points, strides, boxes, radius)
    longest = distances.amax(2)
    lower, upper = (_per_cell(points, bounds) for bounds in zip(*size_ranges(strides), strict=True))
    allowed &= (longest > lower) & (longest <= upper)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1).expand(len(every_point), -1)
    smallest, chosen = areas.masked_fill(~allowed, float("inf")).min(1)
    cell_labels = labels[chosen].masked_fill(smallest.isinf(), BACKGROUND)
    return Targets(cell_labels, distances[torch.arange(len(every_point)), chosen])


def _is_central(points: Sequence[Tensor], strides: Sequence[int], boxes: Tensor, radius: float) -> Tensor:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    reach = _per_cell(points, [radius * stride for stride in strides])
    return (torch.cat(list(points))[:, None] - centres).abs().amax(2) < reach


def _per_cell(points: Sequence[Tensor], values: Sequence[float]) -> Tensor:
    """One number a level, repeated for its cells: [P, 1]."""
    return torch.cat([torch.full((len(cells), 1), value) for cells, value in zip(points, values, strict=True)])


def centerness(distances: Tensor) -> Tensor:
    """1 at a box's centre, 0 at its sides: [P, 4] to [P]."""
    left, top, right, bottom = distances.unbind(1)
    across = torch.minimum(left, right) / torch.maximum(left, right)
    along = torch.minimum(top, bottom) / torch.maximum(top, bottom)
    return (across * along).sqrt()
