"""First weights of a network that is trained on: from a checkpoint, or from an exported model directory.

Export folds batch normalisations into convolutions and CE blocks into two factors, so that what is read back computes
the same but has lost the statistics that training mode replaces with those of each batch. They are measured again on
the new pictures; the function in evaluation mode stays.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cenet.block import CEBlock, newton_inverse_square_root
from cenet.checkpoint import read_checkpoint
from cenet.export.restore import restore_classifier
from cenet.training.images import MEAN, STD

# A block of which one branch is silent would never hear it again.
_LEAST_SHARE = 0.02


def load_start(network: nn.Module, source: Path, arch: str, batches: Sequence[Tensor]) -> None:
    """Loads into `network`, of the name `arch`, what fits of `source`; its classifier may have other labels.

    `batches` are inputs as training has them, for the statistics of a model directory.

    Raises:
        ValueError: if `source` is of another network.
        OSError: if it can't be read.
    """
    state = exported_state(source, arch, batches) if source.is_dir() else read_checkpoint(source).state
    expected = network.state_dict()
    missing = [name for name in expected if name not in state or state[name].shape != expected[name].shape]
    classifier = _classifier(network)
    unfit = [name for name in missing if name.rpartition(".")[0] != classifier]
    if unfit:
        raise ValueError(f"{source} doesn't fit: {len(unfit)} keys differ, such as {', '.join(unfit[:5])}")
    network.load_state_dict({name: value if name in missing else state[name] for name, value in expected.items()})


def fingerprint(source: Path) -> str:
    """SHA-256 of the weights at `source`, in hexadecimal."""
    file = source / "model.onnx" if source.is_dir() else source
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _classifier(network: nn.Module) -> str:
    """The name of the last linear layer that is no CE block's."""
    own = tuple(f"{name}." for name, module in network.named_modules() if isinstance(module, CEBlock))
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return next(name for name in reversed(linear) if not name.startswith(own))


def exported_state(directory: Path, arch: str, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """The state of the classifier in a model directory, a network of the name `arch`, with statistics of `batches`.

    Raises:
        ValueError: if the directory holds another network.
        OSError: if a file can't be read.
    """
    network = restore_classifier(directory, arch)
    preprocess = tomllib.loads((directory / "model.toml").read_text(encoding="utf-8"))["preprocess"]
    take_other_inputs(network, preprocess)
    measure_statistics(network, batches)
    return network.state_dict()


@torch.no_grad()
def take_other_inputs(network: nn.Module, preprocess: Mapping[str, list[float]]) -> None:
    """Lets the first layer take pictures normalised as for training, not as `preprocess` says.

    At the picture's rim it is not exact: padding with zeros means another colour then.
    """
    mean, std = torch.tensor(preprocess["mean"]), torch.tensor(preprocess["std"])
    modules = list(network.modules())
    convolution = next(module for module in modules if isinstance(module, nn.Conv2d))
    norm = next(module for module in modules if isinstance(module, nn.BatchNorm2d))
    offset = (torch.tensor(MEAN) - mean) / std
    norm.running_mean.sub_((convolution.weight * offset.view(1, 3, 1, 1)).sum((1, 2, 3)))
    convolution.weight.mul_((torch.tensor(STD) / std).view(1, 3, 1, 1))


@torch.no_grad()
def measure_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Gives normalisations and CE blocks the statistics of `batches`, and weights that keep the network's function."""
    seen: dict[nn.Module, list[Tensor]] = {}
    """By layer: pixels, their sums [C] and summed products (of a normalisation [C], of a block [G, d, d])."""

    def add(module: nn.Module, arguments: tuple[Tensor]) -> None:
        (x,) = arguments
        groups = module.groups if isinstance(module, CEBlock) else x.shape[1]
        values = x.double().transpose(0, 1).reshape(groups, x.shape[1] // groups, -1)
        sums = [torch.tensor(float(values.shape[-1])), values.sum(-1), values @ values.transpose(-1, -2)]
        before = seen.get(module)
        seen[module] = sums if before is None else [a + b for a, b in zip(before, sums, strict=True)]

    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | CEBlock)]
    hooks = [module.register_forward_pre_hook(add) for module in layers]
    network.eval()
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    for layer, (count, sums, products) in seen.items():
        mean = sums / count
        covariance = products / count - mean.unsqueeze(-1) * mean.unsqueeze(-2)
        if isinstance(layer, CEBlock):
            _split_block(layer, mean, covariance)
        else:
            _renew_norm(layer, mean.flatten(), covariance.flatten())


def _renew_norm(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    norm.bias.add_(gain * (mean - norm.running_mean.double()))
    norm.weight.copy_(gain * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def _split_block(block: CEBlock, mean: Tensor, covariance: Tensor) -> None:
    """Finds the share of the whitening that explains the folded product best, and takes it out of both branches."""
    share = torch.sigmoid(block.x_weight).double()
    whitening, gate_scale = share * block.running_wm.double(), (1 - share) / block.AR.running_scale.double()
    identity = torch.eye(block.group_width, dtype=torch.float64)
    expected = newton_inverse_square_root(covariance + block.eps * identity, block.iterations)
    share = ((whitening * expected).sum() / expected.square().sum()).clamp(_LEAST_SHARE, 1 - _LEAST_SHARE)
    block.x_weight.copy_(torch.logit(share))
    block.running_mean.copy_(mean.unsqueeze(-1))
    block.running_wm.copy_(whitening / share)
    block.AR.running_scale.copy_((1 - share) / gate_scale)
