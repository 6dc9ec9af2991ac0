"""The two passes over the pixels that a CE block makes, for both of the memory layouts that networks are trained in.

`moments()` gives the channels' first and second moments, by sample, and their products within groups, by batch;
`multiply(matrices)` applies one matrix a sample and group to every pixel. Everything between them is small.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


class Moments(NamedTuple):
    """Means over pixels, not centred, at least in float32."""

    sample_mean: Tensor
    """[N, C], mean of each channel of each sample."""
    sample_square: Tensor
    """[N, C], mean square of each channel of each sample."""
    group_product: Tensor
    """[G, d, d], mean over the batch of the products of a group's channels."""


class GroupedPixels:
    """Channel-first pixels, as [N, G, d, H*W] in at least float32: small products of matrices, group by group."""

    def __init__(self, x: Tensor, groups: int) -> None:
        self.shape, self.dtype = x.shape, x.dtype
        self.values = _at_least_float32(x).reshape(x.shape[0], groups, x.shape[1] // groups, -1)

    def moments(self) -> Moments:
        products = self.values @ self.values.transpose(-1, -2) / self.values.shape[-1]
        squares = products.diagonal(dim1=-2, dim2=-1)
        return Moments(self.values.mean(-1).flatten(1), squares.flatten(1), products.mean(0))

    def multiply(self, matrices: Tensor) -> Tensor:
        return (matrices @ self.values).reshape(self.shape).to(self.dtype)


class DensePixels:
    """Channels-last pixels, as [N, H*W, C] without a copy: one product with a block-diagonal matrix for all groups.

    It multiplies by zeros outside the blocks, which is cheaper than a change of layout while there are few groups.
    The product runs in the input's type, as a convolution's would; moments are in at least float32.
    """

    MAX_GROUPS = 8

    def __init__(self, x: Tensor, groups: int) -> None:
        self.shape, self.groups = x.shape, groups
        self.values = x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])

    @classmethod
    def suits(cls, x: Tensor, groups: int) -> bool:
        return groups <= cls.MAX_GROUPS and x.is_contiguous(memory_format=torch.channels_last)

    def moments(self) -> Moments:
        sample_mean, sample_square, product = _DenseMoments.apply(self.values)
        width = product.shape[-1] // self.groups
        blocks = product.view(self.groups, width, self.groups, width).diagonal(dim1=0, dim2=2)
        return Moments(sample_mean, sample_square, blocks.permute(2, 0, 1))

    def multiply(self, matrices: Tensor) -> Tensor:
        samples, channels, height, width = self.shape
        transposed = _block_diagonal(matrices.transpose(-1, -2)).to(self.values.dtype)
        return (self.values @ transposed).view(samples, height, width, channels).permute(0, 3, 1, 2)


class _DenseMoments(torch.autograd.Function):
    """Moments of [N, P, C]: sample means and mean squares, [N, C], and the batch's mean products, [C, C].

    A function of its own because its gradient is then a single product in the input's type.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(values)
        wide = _at_least_float32(values)
        flat = wide.view(-1, wide.shape[-1])
        return wide.mean(1), wide.square().mean(1), flat.T @ flat / flat.shape[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, mean_grad: Tensor, square_grad: Tensor, product_grad: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        samples, area, _ = values.shape
        matrices = (product_grad + product_grad.T) / (samples * area) + torch.diag_embed(2 / area * square_grad)
        offset = (mean_grad / area).unsqueeze(1)
        return torch.baddbmm(offset.to(values.dtype), values, matrices.to(values.dtype))


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _block_diagonal(blocks: Tensor) -> Tensor:
    """[N, G, d, d] to [N, G*d, G*d]."""
    samples, groups, width, _ = blocks.shape
    dense = blocks.new_zeros(samples, groups, width, groups, width)
    dense.diagonal(dim1=1, dim2=3).copy_(blocks.permute(0, 2, 3, 1))
    return dense.view(samples, groups * width, groups * width)
