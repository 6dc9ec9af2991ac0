"""How far a student answers as its teacher does, and what of it depends on its CE blocks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from cenet.block import CEBlock
from cenet.export.session import open_session


@dataclass(frozen=True)
class Agreement:
    """Shares of the pictures; `loss` is the mean divergence of the student's probabilities from the teacher's."""

    top1: float
    """The student's best label is the teacher's."""
    in_top5: float
    """The teacher's best label is among the student's best five."""
    loss: float


@torch.inference_mode()
def answer(network: nn.Module, inputs: Tensor, batch_size: int, description: str | None = None) -> Tensor:
    """Logits [N, K], in float32 and evaluation mode."""
    network.eval()
    batches = tqdm(inputs.split(batch_size), desc=description, disable=description is None, leave=False, mininterval=10)
    return torch.cat([network(batch) for batch in batches])


def answer_exported(directory: Path, inputs: Tensor, batch_size: int) -> Tensor:
    """Logits [N, K] of the classifier in a model directory, by ONNX Runtime without a kernel for CE blocks."""
    session = open_session(directory / "model.onnx")
    (name,) = (value.name for value in session.get_inputs())
    batches = (batch.contiguous().numpy() for batch in inputs.split(batch_size))
    return torch.cat([torch.from_numpy(session.run(None, {name: batch})[0]) for batch in batches])


def agreement(student: Tensor, teacher: Tensor) -> Agreement:
    """Of logits [N, K] with logits [N, K]."""
    best = teacher.argmax(1, keepdim=True)
    in_top5 = (student.topk(min(5, student.shape[1])).indices == best).any(1)
    return Agreement(
        (student.argmax(1, keepdim=True) == best).double().mean().item(),
        in_top5.double().mean().item(),
        divergence(student, teacher).item(),
    )


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of probabilities from the teacher's."""
    return F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True)


def block_groups(network: nn.Module) -> dict[str, list[CEBlock]]:
    """The network's CE blocks one by one, by stages where it knows them, and all together."""
    groups = {name: [module] for name, module in network.named_modules() if isinstance(module, CEBlock)}
    for stage, layer in zip(getattr(network, "stage_of", []), getattr(network, "blocks", []), strict=True):
        if layer.ce is not None:
            groups.setdefault(f"stage {stage}", []).append(layer.ce)
    return groups | {"all": [module for module in network.modules() if isinstance(module, CEBlock)]}


def ablations(
    network: nn.Module, inputs: Tensor, groups: Mapping[str, list[CEBlock]], batch_size: int
) -> dict[str, float]:
    """Shares of the pictures whose best label changes when the CE blocks of each group pass their input on unchanged.

    And, for all blocks of the network together, when every gate stands at its mean over `inputs`.
    """
    whole = answer(network, inputs, batch_size, "whole network").argmax(1)

    def changed(name: str) -> float:
        return (answer(network, inputs, batch_size, name).argmax(1) != whole).double().mean().item()

    shares = {}
    for name, blocks in groups.items():
        with _replaced(blocks, lambda module, arguments, _: arguments[0]):
            shares[f"without {name}"] = changed(f"without {name}")
    means = _mean_gates(network, inputs, batch_size)
    with _replaced(means, lambda module, _, gates: means[module].expand_as(gates)):
        shares["gates at their means"] = changed("gates at their means")
    return shares


def _mean_gates(network: nn.Module, inputs: Tensor, batch_size: int) -> dict[nn.Module, Tensor]:
    """By each block's gate module, [C]."""
    gates: dict[nn.Module, list[Tensor]] = {}
    modules = [module.AR for module in network.modules() if isinstance(module, CEBlock)]
    hooks = [
        module.register_forward_hook(lambda module, _, output: gates.setdefault(module, []).append(output))
        for module in modules
    ]
    answer(network, inputs, batch_size, "mean gates")
    for hook in hooks:
        hook.remove()
    return {module: torch.cat(outputs).mean(0) for module, outputs in gates.items()}


@contextmanager
def _replaced(modules: Iterable[nn.Module], output: Callable[..., Tensor]) -> Iterator[None]:
    """The modules' outputs replaced by what `output` makes of module, arguments and output."""
    hooks = [module.register_forward_hook(output) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
