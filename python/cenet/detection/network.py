"""A one-stage, anchor-free detector after FCOS (Tian et al., 2019): backbone, feature pyramid, shared heads.

Every cell of every level predicts a logit a class, its distances to the four sides of its object's box, and how central
it lies in that box. A cell (row, column) of a level looks at the point ((column + 0.5) * stride, (row + 0.5) * stride).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cenet.networks import build_network

STRIDES = (8, 16, 32)
_PRIOR = 0.01


class LevelOutput(NamedTuple):
    """What the heads say at one level of h * w cells."""

    class_logits: Tensor
    """[N, K, h, w]"""
    distances: Tensor
    """Left, top, right, bottom from the cell's point, above 0, in pixels of the input: [N, 4, h, w]"""
    centerness: Tensor
    """Logits: [N, 1, h, w]"""


class FeaturePyramid(nn.Module):
    """Brings a backbone's outputs to one width, each with what the coarser ones saw (Lin et al., 2017)."""

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_conv_norm(width, channels, 1) for width in inputs)
        self.output = nn.ModuleList(nn.Sequential(*_conv_norm(channels, channels, 3), nn.ReLU()) for _ in inputs)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        merged = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for finer in range(len(merged) - 2, -1, -1):
            merged[finer] = merged[finer] + F.interpolate(merged[finer + 1], scale_factor=2.0, mode="nearest")
        return [output(feature) for output, feature in zip(self.output, merged, strict=True)]


class Tower(nn.Module):
    """3x3 convolutions that all levels share, each followed by a batch normalisation of the level's own.

    Statistics differ from level to level, so a shared normalisation would fit none; one of its own folds into the
    convolution when it is evaluated.
    """

    def __init__(self, channels: int, depth: int, levels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(levels)) for _ in range(depth))

    def forward(self, x: Tensor, level: int) -> Tensor:
        for convolution, norms in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norms[level](convolution(x)))
        return x


class Detector(nn.Module):
    """[N, 3, H, W] pictures, H and W multiples of 32, to one `LevelOutput` for each of `STRIDES`.

    Args:
        backbone: a network of this package, whose classifier is dropped.
        num_classes: K.
        channels: width of the pyramid and the heads.
        depth: convolutions in each of the two head towers.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, channels: int = 64, depth: int = 2) -> None:
        super().__init__()
        backbone.drop_classifier()
        self.backbone = backbone
        self.pyramid = FeaturePyramid(backbone.pyramid_channels, channels)
        self.class_tower = Tower(channels, depth, len(STRIDES))
        self.box_tower = Tower(channels, depth, len(STRIDES))
        self.class_output = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.box_output = nn.Conv2d(channels, 4, 3, padding=1)
        self.centerness_output = nn.Conv2d(channels, 1, 3, padding=1)
        self.box_scales = nn.Parameter(torch.ones(len(STRIDES)))
        self._initialise()

    def _initialise(self) -> None:
        for part in (self.pyramid, self.class_tower, self.box_tower):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for output in (self.class_output, self.box_output, self.centerness_output):
            nn.init.normal_(output.weight, std=0.01)
            nn.init.zeros_(output.bias)
        # Objects are rare: every class starts at a probability of 1%, or the many empty cells would drown the rest.
        nn.init.constant_(self.class_output.bias, -math.log((1 - _PRIOR) / _PRIOR))
        # Distances start at about three strides.
        nn.init.constant_(self.box_output.bias, 3.0)

    def forward(self, x: Tensor) -> list[LevelOutput]:
        features = self.pyramid(self.backbone.pyramid(x))
        return [self._heads(feature, level) for level, feature in enumerate(features)]

    def _heads(self, feature: Tensor, level: int) -> LevelOutput:
        classes, boxes = self.class_tower(feature, level), self.box_tower(feature, level)
        strides_away = F.softplus(self.box_output(boxes).float() * self.box_scales[level])
        return LevelOutput(self.class_output(classes), strides_away * STRIDES[level], self.centerness_output(boxes))


def _conv_norm(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs))


def build_detector(
    backbone: str, *, num_classes: int, norm: str = "ce", channels: int = 64, depth: int = 2, **options
) -> Detector:
    """A detector on the named backbone; `options` go to the backbone's builder.

    Raises:
        ValueError: for a backbone that is not registered.
    """
    return Detector(build_network(backbone, norm=norm, **options), num_classes, channels, depth)
