"""What a network's tensors hold on given pictures, and the ranges in which 8 bits lose the least of it."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import onnx
import onnxruntime

from cenet.export.errors import ExportError
from cenet.export.graph import INPUT
from cenet.export.session import open_session

_BINS = 8192
# A range is drawn in by steps of a twentieth, to a tenth at least: few values far out cost all others their precision.
_SHARES = np.linspace(1.0, 0.1, 19)
_STEPS = 255


class Histogram:
    """Counts of a tensor's values, in bins around zero that widen as values come.

    A bin takes in what lies within half its width of its middle.
    """

    def __init__(self) -> None:
        self._width = 0.0
        self._counts = np.zeros(2 * _BINS + 1, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Counts `values`, of any shape."""
        largest = float(np.abs(values).max(initial=0.0))
        if self._width == 0.0:
            self._width = largest / (_BINS // 2)
        if self._width == 0.0:
            self._counts[_BINS] += values.size
            return
        while largest > self._width * _BINS:
            self._widen()
        places = np.rint(values.ravel() * (1 / self._width)).astype(np.int64)
        self._counts += np.bincount(places + _BINS, minlength=self._counts.size)

    def _widen(self) -> None:
        """Makes each bin twice as wide; an odd one goes to its neighbour farther from zero."""
        places = np.arange(-_BINS, _BINS + 1)
        halved = np.sign(places) * ((np.abs(places) + 1) // 2)
        self._counts = np.bincount(halved + _BINS, self._counts, self._counts.size).astype(np.int64)
        self._width *= 2

    def best_range(self) -> tuple[float, float]:
        """The range around zero in which rounding to 8 bits, and what lies outside, have the least squared error."""
        filled = np.flatnonzero(self._counts)
        if filled.size == 0 or self._width == 0.0:
            return 0.0, 0.0
        values, counts = (filled - _BINS) * self._width, self._counts[filled]
        low, high = min(values[0], 0.0), max(values[-1], 0.0)
        lows, highs = ({float(end * share) for share in _SHARES} for end in (low, high))
        ranges = [(low, high) for low in sorted(lows) for high in sorted(highs) if high > low]
        return min(ranges, key=lambda ends: _squared_error(values, counts, *ends))


def _squared_error(values: np.ndarray, counts: np.ndarray, low: float, high: float) -> float:
    scale = (high - low) / _STEPS
    zero = np.rint(-low / scale)
    rounded = (np.clip(np.rint(values / scale) + zero, 0, _STEPS) - zero) * scale
    return float(counts @ np.square(rounded - values))


class Observations:
    """What `tensors` of `model` hold on `inputs`, each [N, 3, H, W].

    Raises:
        ExportError: if one holds what isn't a finite number.
    """

    def __init__(self, model: onnx.ModelProto, tensors: set[str], inputs: Iterable[np.ndarray]) -> None:
        names = sorted(tensors - {INPUT})
        session = _session_giving(model, names)
        self._histograms = {name: Histogram() for name in (INPUT, *names)}
        self._sums: dict[str, np.ndarray] = {}
        self._pictures = 0
        for given in inputs:
            arrays = session.run(names, {INPUT: given})
            for name, array in zip((INPUT, *names), (given, *arrays), strict=True):
                self._add(name, np.asarray(array), len(given))
            self._pictures += len(given)

    def _add(self, name: str, array: np.ndarray, pictures: int) -> None:
        if array.dtype != np.float32:
            self._histograms.pop(name, None)
            return
        if not np.isfinite(array).all():
            raise ExportError(f"the network gives numbers that aren't finite: no 8 bits for {name}")
        self._histograms[name].add(array)
        if array.ndim > 1:
            others = tuple(axis for axis in range(array.ndim) if axis != 1)
            means = array.mean(axis=others, dtype=np.float64)
            self._sums[name] = self._sums.get(name, 0.0) + pictures * means

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The best range of each tensor of floats, by its name."""
        return {name: histogram.best_range() for name, histogram in self._histograms.items()}

    def channel_means(self, name: str) -> np.ndarray:
        """Means along the second axis of the tensor called `name`."""
        return self._sums[name] / self._pictures


def _session_giving(model: onnx.ModelProto, names: list[str]) -> onnxruntime.InferenceSession:
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    given = {output.name for output in observed.graph.output}
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
    return open_session(observed)
