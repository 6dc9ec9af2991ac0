"""Reads checkpoint files and loads them into networks: the one place that knows their formats.

Understood are, in PyTorch's zip serialisation and in the older one without:

- the CE paper's authors' format: a dict with `state_dict`, and `model`, `epoch`, `best_prec1`, `optimizer` beside it;
- this package's training checkpoints: the same with `model_options`, `labels` and `preprocessing`;
- a bare state dict.

Files are read with `weights_only=True`: no code in them is run. A `module.` prefix (DataParallel) is dropped.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from cenet.block import CEBlock

# Names that the authors' checkpoints give their networks, and ours for the same networks.
_AUTHORS_NETWORKS = {"resnetv1ce50": "ce_resnet50"}
_PARALLEL_PREFIX = "module."


class CheckpointError(ValueError):
    """A checkpoint that can't be used; the base of this module's errors."""


class CheckpointFormatError(CheckpointError):
    """A file that is no checkpoint in an understood format."""


class UntrainedBlockError(CheckpointError):
    """CE blocks without running statistics, which give no finite output in evaluation mode."""

    def __init__(self, scales: Mapping[str, float]) -> None:
        self.blocks = tuple(scales)
        named = ", ".join(f"{name or '(the module itself)'} ({scale:g})" for name, scale in scales.items())
        super().__init__(
            f"untrained CE blocks, run training first: running_scale must be positive and finite in {named}"
        )


class StateMismatchError(CheckpointError):
    """A state dict that doesn't fit the network; names every key at fault.

    `misshapen` maps a key to the shape in the checkpoint and the shape in the network.
    """

    def __init__(
        self,
        missing: list[str],
        unexpected: list[str],
        misshapen: dict[str, tuple[tuple[int, ...], tuple[int, ...]]],
    ) -> None:
        self.missing, self.unexpected, self.misshapen = missing, unexpected, misshapen
        lines = [f"missing: {key}" for key in missing]
        lines += [f"unexpected: {key}" for key in unexpected]
        lines += [
            f"misshapen: {key}: {list(found)} in the checkpoint, {list(expected)} in the network"
            for key, (found, expected) in misshapen.items()
        ]
        super().__init__("\n  ".join([f"the checkpoint doesn't fit the network, {len(lines)} keys differ:", *lines]))


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds; None where its format doesn't say."""

    state: dict[str, Tensor]
    arch: str | None = None
    """Name for `cenet.networks.build_network`; of a detector, "fcos"."""
    arch_options: dict[str, Any] = field(default_factory=dict)
    labels: list[str] | None = None
    """In the order of the logits."""
    preprocessing: dict[str, Any] | None = None
    """`mean` and `std` in RGB for pixels in 0 to 1; `resize` (shorter side) and `crop` (side) in pixels, or for a
    detector `size` (height and width) in pixels and `fit` ("stretch" or "letterbox"); `filter`, if not "bilinear"."""
    task: str = "classify"
    """"classify" or "detect"."""


def read_checkpoint(file: str | PathLike[str]) -> Checkpoint:
    """Reads a file of any understood format to the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointFormatError: if it is no checkpoint, or holds more than tensors and plain data.
    """
    content = _unpickle(file)
    if not isinstance(content, Mapping):
        raise CheckpointFormatError(f"{file} holds a {type(content).__name__}, not a dict")
    if isinstance(content.get("state_dict"), Mapping):
        return _from_training(content, file)
    return Checkpoint(_state(content, file))


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads `state` into `module`, strictly, and checks that its CE blocks are trained.

    Raises:
        StateMismatchError: names every missing, unexpected and misshapen key. The module is unchanged.
        UntrainedBlockError: names every CE block without running statistics.
    """
    _check_keys(module.state_dict(), state)
    _own_buffers(module)
    module.load_state_dict(state)
    check_trained(module)


def check_trained(module: nn.Module) -> None:
    """Raises `UntrainedBlockError` if a CE block in `module` has a `running_scale` that isn't positive and finite."""
    scales = {
        name: block.AR.running_scale.item() for name, block in module.named_modules() if isinstance(block, CEBlock)
    }
    untrained = {name: scale for name, scale in scales.items() if not 0 < scale < float("inf")}
    if untrained:
        raise UntrainedBlockError(untrained)


def _unpickle(file: str | PathLike[str]) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointFormatError(
            f"{file} is no PyTorch checkpoint, or holds objects that need code to run when loaded, which is refused: "
            "save its state dict alone"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, OSError) as error:
        raise CheckpointFormatError(f"{file} is no PyTorch checkpoint or is damaged: {error}") from error


def _from_training(content: Mapping[str, Any], file: str | PathLike[str]) -> Checkpoint:
    arch = content.get("model")
    return Checkpoint(
        state=_state(content["state_dict"], file),
        arch=_AUTHORS_NETWORKS.get(arch, arch) if isinstance(arch, str) else None,
        arch_options=dict(content.get("model_options") or {}),
        labels=content.get("labels"),
        preprocessing=content.get("preprocessing"),
        task=content.get("task", "classify"),
    )


def _state(entries: Mapping[Any, Any], file: str | PathLike[str]) -> dict[str, Tensor]:
    if not entries:
        raise CheckpointFormatError(f"{file} holds no weights")
    strange = [str(key) for key, value in entries.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if strange:
        raise CheckpointFormatError(f"{file} holds no state dict; these entries are no tensors: {', '.join(strange)}")
    if all(key.startswith(_PARALLEL_PREFIX) for key in entries):
        return {key.removeprefix(_PARALLEL_PREFIX): value for key, value in entries.items()}
    return dict(entries)


def _check_keys(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    misshapen = {
        key: (tuple(found[key].shape), tuple(tensor.shape))
        for key, tensor in expected.items()
        if key in found and found[key].shape != tensor.shape
    }
    if missing or unexpected or misshapen:
        raise StateMismatchError(missing, unexpected, misshapen)


def _own_buffers(module: nn.Module) -> None:
    """Gives expanded (stride 0) buffers memory of their own: nothing can be copied into them otherwise."""
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            shape_and_stride = zip(buffer.shape, buffer.stride(), strict=True)
            if any(size > 1 and stride == 0 for size, stride in shape_and_stride):
                setattr(part, name, buffer.clone())
