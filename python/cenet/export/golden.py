"""The golden pair: an input and the outputs that PyTorch gives for it, by the names of the graph."""

from os import PathLike

import numpy as np
import torch
from torch import nn

from cenet.export.errors import ExportError
from cenet.export.graph import INPUT, OUTPUT


def random_input(size: tuple[int, int], batch: int = 1, seed: int = 0) -> np.ndarray:
    """Standard normal float32 [batch, 3, height, width]."""
    return np.random.default_rng(seed).standard_normal((batch, 3, *size), dtype=np.float32)


def pytorch_output(module: nn.Module, golden_input: np.ndarray) -> np.ndarray:
    """What `module` gives in evaluation mode on the CPU, float32 [N, labels]; its own mode is left as it was.

    Raises:
        ExportError: if it gives anything else than one finite matrix.
    """
    modes = {part: part.training for part in module.modules()}
    try:
        with torch.inference_mode():
            output = module.eval()(torch.from_numpy(golden_input))
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"the module fails on an input of shape {list(golden_input.shape)}: {error}") from error
    finally:
        for part, training in modes.items():
            part.training = training
    if not isinstance(output, torch.Tensor) or output.dim() != 2:
        raise ExportError("the module must return one tensor, [N, labels]")
    if not output.isfinite().all():
        raise ExportError("the module's output is not finite")
    return output.float().numpy()


def read_pair(file: str | PathLike[str], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Input [N, 3, height, width] and logits [N, labels], float32, from an archive of `input` and `logits`.

    Raises:
        ExportError: if it holds anything else, or an input of another size.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            golden_input, logits = archive[INPUT], archive[OUTPUT]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{file} is no NumPy archive with `{INPUT}` and `{OUTPUT}`: {error}") from error
    if golden_input.dtype != np.float32 or logits.dtype != np.float32:
        raise ExportError(f"{file} must hold float32, not {golden_input.dtype} and {logits.dtype}")
    if golden_input.ndim != 4 or golden_input.shape[1:] != (3, *size) or logits.shape[:1] != golden_input.shape[:1]:
        raise ExportError(
            f"{file} must hold `{INPUT}` [N, 3, {size[0]}, {size[1]}] and `{OUTPUT}` [N, labels], "
            f"not {list(golden_input.shape)} and {list(logits.shape)}"
        )
    return golden_input, logits


def write_pair(file: str | PathLike[str], golden_input: np.ndarray, logits: np.ndarray) -> None:
    np.savez_compressed(file, **{INPUT: golden_input, OUTPUT: logits})
