"""The golden pair: an input and the outputs that PyTorch gives for it, by the names of the graph."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cenet.export.errors import ExportError
from cenet.export.graph import INPUT


def random_input(size: tuple[int, int], batch: int = 1, seed: int = 0) -> np.ndarray:
    """Standard normal float32 [batch, 3, height, width]."""
    return np.random.default_rng(seed).standard_normal((batch, 3, *size), dtype=np.float32)


def pytorch_outputs(module: nn.Module, golden_input: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """What `module` gives in evaluation mode on the CPU, float32 [N, ...] by name; its own mode is left as it was.

    Raises:
        ExportError: if it gives anything else than one finite tensor a name.
    """
    modes = {part: part.training for part in module.modules()}
    try:
        with torch.inference_mode():
            tensors = _flatten(module.eval()(torch.from_numpy(golden_input)))
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"the module fails on an input of shape {list(golden_input.shape)}: {error}") from error
    finally:
        for part, training in modes.items():
            part.training = training
    if len(tensors) != len(names) or not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise ExportError(f"the module must return {len(names)} tensors: {', '.join(names)}")
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise ExportError("the module's output is not finite")
    return {name: tensor.float().numpy() for name, tensor in zip(names, tensors, strict=True)}


def _flatten(output: Any) -> list[Any]:
    """The leaves of nested tuples and lists, in the order in which the exporter takes them."""
    if isinstance(output, tuple | list):
        return [leaf for part in output for leaf in _flatten(part)]
    return [output]


def read_pair(
    file: str | PathLike[str], size: tuple[int, int], names: Sequence[str], open_batch: bool = True
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Input [N, 3, height, width] and outputs [N, ...], float32, from an archive of `input` and the outputs' names.

    Without `open_batch` N is 1, and the outputs have no batch axis.

    Raises:
        ExportError: if it holds anything else, or an input of another size.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            golden_input, outputs = archive[INPUT], {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{file} is no NumPy archive with {', '.join((INPUT, *names))}: {error}") from error
    if golden_input.ndim != 4 or golden_input.shape[1:] != (3, *size):
        raise ExportError(f"{file} must hold `{INPUT}` [N, 3, {size[0]}, {size[1]}], not {list(golden_input.shape)}")
    if not open_batch and len(golden_input) != 1:
        raise ExportError(f"{file} holds {len(golden_input)} pictures, the network takes one at a time")
    for name, array in {INPUT: golden_input, **outputs}.items():
        if array.dtype != np.float32 or (open_batch and array.shape[:1] != golden_input.shape[:1]):
            raise ExportError(f"{file}: `{name}` must be float32 for one batch, not {array.dtype} {list(array.shape)}")
    return golden_input, outputs


def write_pair(file: str | PathLike[str], golden_input: np.ndarray, outputs: Mapping[str, np.ndarray]) -> None:
    np.savez_compressed(file, **{INPUT: golden_input, **outputs})
