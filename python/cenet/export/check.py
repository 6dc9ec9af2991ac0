"""Compares an exported model with PyTorch, in an ONNX Runtime that knows no kernel for the CE operator."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from torch import nn

from cenet.export.errors import CheckError
from cenet.export.golden import pytorch_output, random_input
from cenet.export.graph import INPUT, OUTPUT

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
    model: Path, module: nn.Module, golden_input: np.ndarray, golden_output: np.ndarray
) -> list[Difference]:
    """Runs `model` on the golden input, and on a random batch of another size.

    Raises:
        CheckError: if a relative difference is above `TOLERANCE`, or not a number, or the model doesn't run.
    """
    other_input = random_input(golden_input.shape[2:], golden_input.shape[0] + 1, seed=1)
    try:
        session = onnxruntime.InferenceSession(model, _quiet_options(), providers=["CPUExecutionProvider"])
        differences = [
            compare("golden input", session.run([OUTPUT], {INPUT: golden_input})[0], golden_output),
            compare(
                "random input", session.run([OUTPUT], {INPUT: other_input})[0], pytorch_output(module, other_input)
            ),
        ]
    except Exception as error:
        raise CheckError(f"ONNX Runtime can't run the exported model: {error}") from error
    failed = [difference for difference in differences if not difference.relative <= TOLERANCE]
    if failed:
        raise CheckError(f"the exported model is off by more than {TOLERANCE:g}: {'; '.join(map(str, failed))}")
    return differences


def compare(what: str, found: np.ndarray, expected: np.ndarray) -> Difference:
    """The difference of two outputs, [N, labels]; infinite where their shapes differ."""
    batch = expected.shape[0]
    if found.shape != expected.shape:
        return Difference(f"{what} (shape {list(found.shape)}, not {list(expected.shape)})", batch, np.inf, np.inf)
    absolute = float(np.abs(found.astype(np.float64) - expected).max())
    largest = float(np.abs(expected).max())
    return Difference(what, batch, absolute, absolute / largest if largest else absolute)


def _quiet_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options
