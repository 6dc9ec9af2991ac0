"""MobileNetV2 with CE blocks, with torchvision's state names plus `features.I.ce`.

The paper reports a CE-MobileNetV2. We are not sure where inside an inverted residual its authors put the block, and
know of no weights released for it. The default here is after the projection's batch normalisation, before the residual
add: the place that matches `bn3` of a ResNet bottleneck, where channels are few and CE is cheap.
`position="expansion"` puts CE after the expansion's batch normalisation, before its ReLU6, instead.
"""

from typing import Literal

from torch import Tensor, nn

from cenet.block import CEBlock

Position = Literal["projection", "expansion"]

# Expansion factor, output channels, repeats, stride of the first (table 2 of Sandler et al., 2018).
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# Layers of `features` that are the last ones at strides 8, 16 and 32.
_PYRAMID = (6, 13, 17)


def _round_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, but not more than 10% below it."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def _conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 linear projection; the input is added where shapes allow."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, expansion: int, position: Position | None, group_width: int
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.outputs = outputs
        self.adds_input = stride == 1 and inputs == outputs
        self.expands = expansion != 1
        self.position = position if position == "projection" or self.expands else None
        layers: list[nn.Module] = [_conv_bn_relu(inputs, hidden, 1)] if self.expands else []
        layers.append(_conv_bn_relu(hidden, hidden, 3, stride, groups=hidden))
        layers += [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.ce = None
        if self.position is not None:
            self.ce = CEBlock(outputs if position == "projection" else hidden, group_width)

    def forward(self, x: Tensor) -> Tensor:
        if self.position == "expansion":
            convolution, norm, activation = self.conv[0]
            out = self.conv[1:](activation(self.ce(norm(convolution(x)))))
        else:
            out = self.conv(x)
            if self.ce is not None:
                out = self.ce(out)
        return x + out if self.adds_input else out


class MobileNetV2(nn.Module):
    """[N, 3, H, W] pictures to [N, num_classes] logits."""

    def __init__(
        self, num_classes: int, width: float, position: Position | None, group_width: int, dropout: float
    ) -> None:
        super().__init__()
        inputs = _round_channels(32 * width)
        features: list[nn.Module] = [_conv_bn_relu(3, inputs, 3, stride=2)]
        for expansion, channels, repeats, stride in _STAGES:
            outputs = _round_channels(channels * width)
            for index in range(repeats):
                step = stride if index == 0 else 1
                features.append(InvertedResidual(inputs, outputs, step, expansion, position, group_width))
                inputs = outputs
        last = _round_channels(1280 * max(1.0, width))
        features.append(_conv_bn_relu(inputs, last, 1))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        nn.init.normal_(self.classifier[1].weight, 0, 0.01)
        nn.init.zeros_(self.classifier[1].bias)

    @property
    def pyramid_channels(self) -> tuple[int, int, int]:
        """Channels of what `pyramid` gives."""
        return tuple(self.features[index].outputs for index in _PYRAMID)

    def drop_classifier(self) -> None:
        """Leaves only what `pyramid` needs."""
        del self.classifier
        self.features = self.features[: _PYRAMID[-1] + 1]

    def pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N, 3, H, W] to the last outputs at strides 8, 16 and 32, before the classifier's 1x1 convolution."""
        outputs = []
        for index, layer in enumerate(self.features[: _PYRAMID[-1] + 1]):
            x = layer(x)
            if index in _PYRAMID:
                outputs.append(x)
        return tuple(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def ce_mobilenet_v2(
    *,
    norm: Literal["ce", "bn"] = "ce",
    num_classes: int = 1000,
    width: float = 1.0,
    position: Position = "projection",
    group_width: int = 16,
    dropout: float = 0.2,
) -> MobileNetV2:
    """CE-MobileNetV2; `width` multiplies the channels, `norm="bn"` leaves the CE blocks out.

    Raises:
        ValueError: for an unknown `norm` or `position`.
    """
    if norm not in ("ce", "bn") or position not in ("projection", "expansion"):
        raise ValueError(f"norm is ce or bn, position projection or expansion; got {norm!r}, {position!r}")
    return MobileNetV2(num_classes, width, position if norm == "ce" else None, group_width, dropout)
