"""ResNets with CE blocks (and their plain twins), with torchvision's state names plus `ce1` and `layerL.B.ce`.

The default placement is that of the authors' released networks: a CE block after the stem's batch normalisation (one
group of 64 channels) and after the last batch normalisation of every residual block of stages 1 to 3, before the
residual add (groups of 16 channels). None in stage 4 nor in the shortcuts. The stride is on the 3x3 convolution.

The head averages over whatever area is left, which for 224x224 pixels equals the authors' fixed `AvgPool2d(7)` and
leaves other input sizes open.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cenet.block import CEBlock

BlockName = Literal["basic", "bottleneck"]
NormName = Literal["ce", "bn"]
StemName = Literal["7x7", "3x3"]

DEFAULT_PLACEMENT = ("stem", "layer1", "layer2", "layer3")
_PLACES = ("stem", "layer1", "layer2", "layer3", "layer4")


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class _ResidualBlock(nn.Module, ABC):
    """What both kinds of residual block share: shortcut, CE before the add, and the ReLU after it."""

    expansion: int

    def __init__(self, inputs: int, width: int, stride: int, ce_group_width: int | None) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.relu = nn.ReLU(inplace=True)
        self.ce = None if ce_group_width is None else CEBlock(outputs, ce_group_width)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """What is added to the shortcut, before CE."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.residual(x)
        if self.ce is not None:
            out = self.ce(out)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(out + shortcut)


class BasicBlock(_ResidualBlock):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, ce_group_width: int | None) -> None:
        super().__init__(inputs, width, stride, ce_group_width)
        self.conv1 = _conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Bottleneck(_ResidualBlock):
    """1x1, 3x3 (with the stride), and a 1x1 convolution to four times the width."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, ce_group_width: int | None) -> None:
        super().__init__(inputs, width, stride, ce_group_width)
        self.conv1 = _conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, width * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


_BLOCKS: dict[str, type[_ResidualBlock]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


@dataclass(frozen=True)
class ResNetShape:
    """What tells one ResNet from another; see `ce_resnet` for the fields."""

    block: BlockName
    layers: Sequence[int]
    num_classes: int = 1000
    width: int = 64
    group_width: int = 16
    stem_group_width: int = 64
    placement: Sequence[str] = DEFAULT_PLACEMENT
    stem: StemName = "7x7"

    def __post_init__(self) -> None:
        if self.block not in _BLOCKS:
            raise ValueError(f"unknown block {self.block!r}; known: {', '.join(_BLOCKS)}")
        if len(self.layers) != 4:
            raise ValueError(f"a ResNet has 4 stages, got {len(self.layers)}")
        if unknown := set(self.placement) - set(_PLACES):
            raise ValueError(f"unknown places for CE blocks: {sorted(unknown)}; known: {', '.join(_PLACES)}")
        if self.stem not in ("7x7", "3x3"):
            raise ValueError(f"unknown stem {self.stem!r}; known: 7x7, 3x3")


class ResNet(nn.Module):
    """[N, 3, H, W] pictures to [N, num_classes] logits."""

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__()
        self.shape = shape
        block = _BLOCKS[shape.block]
        self.conv1 = _conv(3, shape.width, 7 if shape.stem == "7x7" else 3, stride=2)
        self.bn1 = nn.BatchNorm2d(shape.width)
        self.ce1 = CEBlock(shape.width, shape.stem_group_width) if "stem" in shape.placement else None
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = shape.width
        for stage, depth in enumerate(shape.layers):
            setattr(self, f"layer{stage + 1}", self._stage(block, stage, inputs, depth))
            inputs = (shape.width << stage) * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, shape.num_classes)
        self._initialise()

    def _stage(self, block: type[_ResidualBlock], stage: int, inputs: int, depth: int) -> nn.Sequential:
        width = self.shape.width << stage
        ce_group_width = self.shape.group_width if f"layer{stage + 1}" in self.shape.placement else None
        blocks = []
        for index in range(depth):
            stride = 2 if index == 0 and stage > 0 else 1
            blocks.append(block(inputs, width, stride, ce_group_width))
            inputs = width * block.expansion
        return nn.Sequential(*blocks)

    def _initialise(self) -> None:
        # The last batch normalisation's weight must not start at 0, as some recipes have it: CE divides by its spread.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def pyramid_channels(self) -> tuple[int, int, int]:
        """Channels of what `pyramid` gives."""
        expansion = _BLOCKS[self.shape.block].expansion
        return tuple((self.shape.width << stage) * expansion for stage in (1, 2, 3))

    def drop_classifier(self) -> None:
        """Leaves only what `pyramid` needs."""
        del self.fc

    def pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N, 3, H, W] to the outputs of stages 2 to 4, at strides 8, 16 and 32."""
        x = self.bn1(self.conv1(x))
        if self.ce1 is not None:
            x = self.ce1(x)
        stage2 = self.layer2(self.layer1(self.maxpool(self.relu(x))))
        stage3 = self.layer3(stage2)
        return stage2, stage3, self.layer4(stage3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.avgpool(self.pyramid(x)[-1]), 1))


def ce_resnet(block: BlockName, layers: Sequence[int], *, norm: NormName = "ce", **shape) -> ResNet:
    """A ResNet of any depth.

    Args:
        block: "basic" (two 3x3 convolutions) or "bottleneck".
        layers: residual blocks in each of the four stages.
        norm: "ce", or "bn" for the same network without CE blocks.
        num_classes: width of the logits.
        width: channels after the stem, doubled by each later stage (and times 4 with bottlenecks).
        group_width, stem_group_width: channels decorrelated together in the residual blocks and the stem.
        placement: where CE blocks go, out of "stem", "layer1" to "layer4".
        stem: "7x7" or "3x3", the first convolution; stride 2 and a stride-2 max pooling follow either way.

    Raises:
        ValueError: for a value outside of these.
    """
    if norm not in ("ce", "bn"):
        raise ValueError(f"unknown norm {norm!r}; known: ce, bn")
    if norm == "bn":
        shape["placement"] = ()
    return ResNet(ResNetShape(block, tuple(layers), **shape))


def ce_resnet18(**options) -> ResNet:
    """CE-ResNet-18: CE after `bn2` of the basic blocks, the place that matches `bn3` of the bottlenecks."""
    return ce_resnet("basic", (2, 2, 2, 2), **options)


def ce_resnet50(**options) -> ResNet:
    """CE-ResNet-50 as released (`resnetv1ce50`): 14 CE blocks, 29,331,926 parameters."""
    return ce_resnet("bottleneck", (3, 4, 6, 3), **options)


def ce_resnet101(**options) -> ResNet:
    """CE-ResNet-101."""
    return ce_resnet("bottleneck", (3, 4, 23, 3), **options)


def ce_resnet_small(**options) -> ResNet:
    """A CE-ResNet for 112x112 pixels that two CPU cores train on a few thousand pictures in under an hour."""
    return ce_resnet(
        "basic",
        **{"layers": (1, 2, 2, 2), "width": 32, "stem_group_width": 32, "stem": "3x3"} | options,
    )
