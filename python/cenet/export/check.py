"""Compares an exported model with PyTorch, in an ONNX Runtime that knows no kernel for the CE operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from torch import nn

from cenet.export.errors import CheckError
from cenet.export.golden import pytorch_outputs, random_input
from cenet.export.graph import INPUT
from cenet.export.session import open_session

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Difference:
    """How far ONNX Runtime's output is from the expected one."""

    what: str
    batch: int
    absolute: float
    """Largest absolute difference."""
    relative: float
    """That, as a share of the largest expected absolute value."""

    def __str__(self) -> str:
        return f"{self.what}, batch {self.batch}: differs by {self.absolute:.3g}, relative {self.relative:.3g}"


def check_model(
    model: Path,
    module: nn.Module,
    golden_input: np.ndarray,
    golden_outputs: Mapping[str, np.ndarray],
    open_batch: bool = True,
) -> list[Difference]:
    """Runs `model` on the golden input, and on a random batch of another size; gives the worst difference of each.

    What takes one picture at a time is run on the mirrored golden input instead: noise shows a detector nothing.

    Raises:
        CheckError: if a relative difference is above `TOLERANCE`, or not a number, or the model doesn't run.
    """
    if open_batch:
        other, other_input = "random input", random_input(golden_input.shape[2:], golden_input.shape[0] + 1, seed=1)
    else:
        other, other_input = "mirrored input", np.ascontiguousarray(golden_input[..., ::-1])
    other_outputs = pytorch_outputs(module, other_input, list(golden_outputs))
    try:
        session = open_session(model)
        differences = [
            _worst_difference(session, "golden input", golden_input, golden_outputs),
            _worst_difference(session, other, other_input, other_outputs),
        ]
    except Exception as error:
        raise CheckError(f"ONNX Runtime can't run the exported model: {error}") from error
    failed = [difference for difference in differences if not difference.relative <= TOLERANCE]
    if failed:
        raise CheckError(f"the exported model is off by more than {TOLERANCE:g}: {'; '.join(map(str, failed))}")
    return differences


def _worst_difference(
    session: onnxruntime.InferenceSession, what: str, model_input: np.ndarray, expected: Mapping[str, np.ndarray]
) -> Difference:
    found = session.run(list(expected), {INPUT: model_input})
    pairs = zip(expected, found, strict=True)
    differences = [
        compare(what if len(expected) == 1 else f"{what}, {name}", array, expected[name], len(model_input))
        for name, array in pairs
    ]
    return max(differences, key=lambda difference: (np.isnan(difference.relative), difference.relative))


def compare(what: str, found: np.ndarray, expected: np.ndarray, batch: int) -> Difference:
    """The difference of two outputs for `batch` pictures; infinite where their shapes differ."""
    if found.shape != expected.shape:
        return Difference(f"{what} (shape {list(found.shape)}, not {list(expected.shape)})", batch, np.inf, np.inf)
    absolute = float(np.abs(found.astype(np.float64) - expected).max(initial=0.0))
    largest = float(np.abs(expected).max(initial=0.0))
    return Difference(what, batch, absolute, absolute / largest if largest else absolute)
