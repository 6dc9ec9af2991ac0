"""The Channel Equilibrium (CE) block.

Source: Shao et al., "Channel Equilibrium Networks for Learning Deep Representation", ICML 2020.

A CE block follows a batch normalisation. It mixes two branches with a learned scalar weight `s = sigmoid(x_weight)`:

    BD  batch decorrelation: multiplies every pixel by the inverse square root of its group's channel covariance
    IR  instance reweighting: scales every channel by a gate computed from the sample's own channel variances

For one sample both are linear in its pixels, so the block is one small matrix per sample and group:

    Y[n, g] = (s * whitening[g] + diag((1 - s) / scale * gate[n, g])) @ X[n, g]

Names and shapes of the state match the authors' released checkpoints.
"""

import torch
from torch import Tensor, nn

from cenet.pixels import DensePixels, GroupedPixels


def fit_group_width(channels: int, group_width: int) -> int:
    """The width of a group of channels: `group_width`, halved until it divides `channels`."""
    if channels < 1 or group_width < 1:
        raise ValueError(f"channels and group_width must be positive, got {channels} and {group_width}")
    while channels % group_width:
        group_width //= 2
    return group_width


def newton_inverse_square_root(covariance: Tensor, iterations: int) -> Tensor:
    """Approximates `(covariance / trace)^(-1/2)` by Newton's iteration, starting from the identity.

    `covariance` is symmetric positive definite, [G, d, d]. Dividing by the trace puts the eigenvalues in (0, 1], where
    the iteration converges.
    """
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    normalised = covariance / trace
    root = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device).expand_as(covariance)
    for _ in range(iterations):
        root = 1.5 * root - 0.5 * (root @ root @ root @ normalised)
    return root


class AdaptiveReweight(nn.Module):
    """Maps the channel variances of a sample, [N, C], to its gates in (0, 1), [N, C]."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        if hidden < 1:
            raise ValueError(f"{channels} channels can't be reduced by {reduction}")
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.LayerNorm(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )
        # Moving average of sqrt(mean variance). 0 means that the block has not seen a training batch yet.
        self.register_buffer("running_scale", torch.zeros(1))

    def forward(self, variance: Tensor) -> Tensor:
        return self.fc(variance)


class CEBlock(nn.Module):
    """Channel Equilibrium: [N, C, H, W] to [N, C, H, W], to be placed after a batch normalisation.

    In training mode the whitening and the scale come from the batch, gradients flow through Newton's iteration, and the
    running averages are updated. In evaluation mode the running averages are used as stored. Statistics are computed in
    float32 whatever the input's type, which the output keeps.

    Args:
        channels: C.
        group_width: channels decorrelated together (d); halved until it divides C. Groups are contiguous channels.
        reduction: C divided by the width of the gate's hidden layer.
        iterations: Newton steps (T in the paper).
        eps: added to the covariance's diagonal.
        momentum: weight of the newest batch in the running averages.

    Raises:
        ValueError: if H * W is 1, where a sample's channel variance is not defined.

    A block that never saw a training batch has `running_scale` 0 and gives no finite output in evaluation mode; see
    `has_statistics`.
    """

    def __init__(
        self,
        channels: int,
        group_width: int = 16,
        reduction: int = 4,
        iterations: int = 3,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.group_width = fit_group_width(channels, group_width)
        self.groups = channels // self.group_width
        self.reduction = reduction
        self.iterations = iterations
        self.eps = eps
        self.momentum = momentum
        self.AR = AdaptiveReweight(channels, reduction)
        self.x_weight = nn.Parameter(torch.zeros(1))
        # Kept for the checkpoint format only: the authors' block stores it and never lets it reach the output.
        self.register_buffer("running_mean", torch.zeros(self.groups, self.group_width, 1))
        self.register_buffer("running_wm", torch.eye(self.group_width).repeat(self.groups, 1, 1))

    @property
    def has_statistics(self) -> bool:
        """Whether the running averages have seen at least one training batch."""
        return bool(self.AR.running_scale.item() > 0)

    def forward(self, x: Tensor) -> Tensor:
        self._check_shape(x)
        with torch.autocast(x.device.type, enabled=False):
            pixels = DensePixels(x, self.groups) if DensePixels.suits(x, self.groups) else GroupedPixels(x, self.groups)
            if self.training:
                whitening, variance, scale = self._batch_statistics(pixels)
            else:
                whitening, variance, scale = self.running_wm, _channel_variance(x), self.AR.running_scale
            return pixels.multiply(self._mixing_matrices(whitening, self.AR(variance), scale))

    def _check_shape(self, x: Tensor) -> None:
        if x.dim() != 4 or x.shape[1] != self.channels:
            raise ValueError(f"expected an input of shape [N, {self.channels}, H, W], got {list(x.shape)}")
        if x.shape[2] * x.shape[3] == 1:
            raise ValueError(
                "a CE block needs more than one pixel a channel (H * W > 1): the variance of one is undefined"
            )

    def _mixing_matrices(self, whitening: Tensor, gate: Tensor, scale: Tensor) -> Tensor:
        """One matrix a sample and group, [N, G, d, d], that does both branches at once."""
        weight = torch.sigmoid(self.x_weight)
        reweighting = ((1 - weight) / scale * gate).view(-1, self.groups, self.group_width)
        return weight * whitening + torch.diag_embed(reweighting)

    def _batch_statistics(self, pixels: DensePixels | GroupedPixels) -> tuple[Tensor, Tensor, Tensor]:
        """The batch's whitening [G, d, d], each sample's unbiased variances [N, C], and the scale [1].

        Subtracting squared means is safe here: a batch normalisation just before keeps them near the variances' size.
        """
        moments = pixels.moments()
        area = pixels.shape[2] * pixels.shape[3]
        variance = (moments.sample_square - moments.sample_mean.square()).clamp_min(0) * (area / (area - 1))
        mean = moments.sample_mean.mean(0).view(self.groups, self.group_width, 1)
        identity = torch.eye(self.group_width, dtype=mean.dtype, device=mean.device)
        covariance = self.eps * identity + moments.group_product - mean @ mean.transpose(-1, -2)
        whitening = newton_inverse_square_root(covariance, self.iterations)
        scale = variance.mean().sqrt().view(1)
        self._update_running_averages(mean, whitening, scale)
        return whitening, variance, scale

    @torch.no_grad()
    def _update_running_averages(self, mean: Tensor, whitening: Tensor, scale: Tensor) -> None:
        for average, newest in (
            (self.running_mean, mean),
            (self.running_wm, whitening),
            (self.AR.running_scale, scale),
        ):
            average.lerp_(newest, self.momentum)

    def extra_repr(self) -> str:
        return f"{self.channels}, groups={self.groups}, group_width={self.group_width}, reduction={self.reduction}"


def _channel_variance(x: Tensor) -> Tensor:
    """Unbiased variance over the pixels, in float32 at least: [N, C, H, W] to [N, C]."""
    return x.to(torch.promote_types(x.dtype, torch.float32)).flatten(2).var(-1)
