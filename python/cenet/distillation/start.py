"""Puts CE blocks into a trained network so that it still computes what it did before: a student's start.

A CE block multiplies each group of channels by a matrix `A` that depends on the picture only by its gates. The
convolution and the batch normalisation in front are linear in inference, so the inverse of `A`, at the mean gates,
goes into them: what is left of CE's effect at first is what the gates differ by from picture to picture.

`A` itself depends on what reaches the block, which the inverse changes; the two are brought into agreement by
iterating on second moments of the blocks' inputs, measured once on a few hundred pictures. Statistics taken in training
mode would thus start where these are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cenet.block import CEBlock, newton_inverse_square_root

ITERATIONS = 200
_DAMPING = 0.5


@dataclass
class Place:
    """A CE block with the convolution and batch normalisation in front, and moments of what reaches it."""

    norm: nn.BatchNorm2d
    convolution: nn.Conv2d
    means: list[Tensor]
    """[N, G, d] each, over a sample's pixels."""
    products: list[Tensor]
    """[N, G, d, d] each, mean products over a sample's pixels."""
    area: int = 0
    """Pixels a channel."""


@torch.no_grad()
def start_student(
    student: nn.Module, teacher: nn.Module, batches: Sequence[Tensor], stream_rms: float, gate_gain: float
) -> None:
    """Gives `student`, the teacher's network with CE blocks, its teacher's weights and very nearly its function.

    Where a network can rescale what its stages hand on (`rescale_streams`), the branches that CE blocks work on are
    brought to about `stream_rms`: CE's two parts are then of one size, whereas the whitening drowns the gates in
    strong ones. `gate_gain` multiplies the gates' last weights, for gates that differ from picture to picture.

    Raises:
        ValueError: if the student isn't the teacher with CE blocks.
    """
    _copy_weights(student, teacher)
    for block in _blocks(student).values():
        block.AR.fc[3].weight.mul_(gate_gain)
    if hasattr(student, "rescale_streams"):
        student.rescale_streams(_stream_scales(student, batches, stream_rms))
    fold_in(student, batches)


def freeze_before_blocks(student: nn.Module, example: Tensor) -> None:
    """Lets nothing in front of the first CE block learn: it is the teacher's own, and its gradients cost the most.

    `example` is an input. The convolution and normalisation just before the block do learn.
    """
    order: list[nn.Module] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, _: order.append(module))
        for module in student.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | CEBlock)
    ]
    with torch.no_grad():
        student.eval()(example)
    for hook in hooks:
        hook.remove()
    first = next(index for index, module in enumerate(order) if isinstance(module, CEBlock))
    for module in order[: max(0, first - 2)]:
        module.requires_grad_(False)


def _blocks(network: nn.Module) -> dict[str, CEBlock]:
    return {name: module for name, module in network.named_modules() if isinstance(module, CEBlock)}


def _copy_weights(student: nn.Module, teacher: nn.Module) -> None:
    own = tuple(f"{name}." for name in _blocks(student))
    loaded = student.load_state_dict(teacher.state_dict(), strict=False)
    odd = [name for name in loaded.missing_keys if not name.startswith(own)] + loaded.unexpected_keys
    if odd:
        raise ValueError(f"the student isn't its teacher with CE blocks: {', '.join(odd[:5])} differ")


def _stream_scales(student: nn.Module, batches: Sequence[Tensor], stream_rms: float) -> dict[int, float]:
    """By stage; 1 for stages without CE."""
    places = measure(student, batches)
    logarithms: dict[int, list[Tensor]] = {stage: [] for stage in student.stage_of}
    for stage, layer in zip(student.stage_of, student.blocks, strict=True):
        if layer.ce is not None:
            means, products = torch.cat(places[layer.ce].means), torch.cat(places[layer.ce].products)
            variance = products.diagonal(dim1=-2, dim2=-1) - means.square()
            logarithms[stage].append(0.5 * variance.mean().log())
    return {
        stage: stream_rms / torch.stack(values).mean().exp().item() if values else 1.0
        for stage, values in logarithms.items()
    }


@torch.no_grad()
def fold_in(student: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Sets the CE blocks' statistics and the layers in front so that `student` computes what it does without CE.

    `inputs` are batches that the network takes; a few hundred samples in all do.

    Raises:
        ValueError: names a CE block that doesn't follow a convolution and a batch normalisation.
    """
    student.eval()
    for block, place in measure(student, inputs).items():
        inverse = _settle(block, torch.cat(place.means), torch.cat(place.products), place.area)
        _fold(place, torch.block_diag(*inverse), torch.cat(place.means), torch.cat(place.products))


@torch.no_grad()
def measure(student: nn.Module, inputs: Iterable[Tensor]) -> dict[CEBlock, Place]:
    """Runs `student` with its CE blocks passed over, and takes moments of what reaches each."""
    names = {module: name for name, module in student.named_modules()}
    places: dict[CEBlock, Place] = {}
    # Tensors by identity; kept while a batch runs, so that no identity is taken twice.
    origins: dict[int, tuple[nn.Module, Tensor, Tensor]] = {}

    def note_origin(module: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        origins[id(output)] = (module, arguments[0], output)

    def pass_over(block: CEBlock, arguments: tuple[Tensor], _: Tensor) -> Tensor:
        (x,) = arguments
        if block not in places:
            places[block] = _find_place(names[block], x, origins)
        _add_moments(places[block], block, x)
        return x

    hooks = [module.register_forward_hook(pass_over) for module in names if isinstance(module, CEBlock)]
    hooks += [m.register_forward_hook(note_origin) for m in names if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    try:
        for batch in inputs:
            student(batch)
            origins.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return places


def _find_place(name: str, x: Tensor, origins: dict[int, tuple[nn.Module, Tensor, Tensor]]) -> Place:
    norm, before, _ = origins.get(id(x), (None, x, x))
    convolution, _, _ = origins.get(id(before), (None, x, x))
    if not (isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d)):
        raise ValueError(f"the CE block {name} doesn't follow a convolution and its batch normalisation")
    return Place(norm, convolution, [], [])


def _add_moments(place: Place, block: CEBlock, x: Tensor) -> None:
    values = x.float().reshape(x.shape[0], block.groups, block.group_width, -1)
    place.area = values.shape[-1]
    place.means.append(values.mean(-1).double())
    place.products.append((values @ values.transpose(-1, -2)).double() / place.area)


def _settle(block: CEBlock, means: Tensor, products: Tensor, area: int) -> Tensor:
    """Gives `block` its running statistics, and the inverse of its matrices at the mean gates, [G, d, d]."""
    weight = torch.sigmoid(block.x_weight).double()
    inverse = torch.eye(block.group_width, dtype=torch.float64).repeat(block.groups, 1, 1)
    for _ in range(ITERATIONS):
        second = inverse @ products @ inverse.transpose(-1, -2)
        mean = (inverse @ means.unsqueeze(-1)).squeeze(-1)
        centre = mean.mean(0).unsqueeze(-1)
        covariance = second.mean(0) - centre @ centre.transpose(-1, -2)
        whitening = newton_inverse_square_root(
            covariance + block.eps * torch.eye(block.group_width, dtype=torch.float64), block.iterations
        )
        variance = (second.diagonal(dim1=-2, dim2=-1) - mean.square()).clamp_min(0) * (area / (area - 1))
        scale = variance.mean().sqrt()
        gate = block.AR(variance.flatten(1).float()).double().mean(0).view(block.groups, -1)
        matrices = weight * whitening + torch.diag_embed((1 - weight) / scale * gate)
        inverse = _DAMPING * inverse + (1 - _DAMPING) * torch.linalg.inv(matrices)
    block.running_mean.copy_(centre)
    block.running_wm.copy_(whitening)
    block.AR.running_scale.fill_(scale)
    return torch.linalg.inv(matrices)


def _fold(place: Place, inverse: Tensor, means: Tensor, products: Tensor) -> None:
    """Lets `place`'s convolution and normalisation give what they did, multiplied by `inverse`, [C, C].

    The normalisation keeps true statistics of what the convolution gives.
    """
    norm, convolution = place.norm, place.convolution
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    matrix = inverse * gain
    convolution.weight.copy_((matrix @ convolution.weight.double().flatten(1)).view_as(convolution.weight))
    norm.running_mean.copy_(matrix @ norm.running_mean.double())
    norm.bias.copy_(inverse @ norm.bias.double())
    centre = means.mean(0)
    blocks = products.mean(0) - centre.unsqueeze(-1) * centre.unsqueeze(-2)
    variance = (inverse @ torch.block_diag(*blocks) @ inverse.T).diagonal()
    norm.running_var.copy_(variance)
    norm.weight.copy_((norm.running_var.double() + norm.eps).sqrt())
