"""From a model directory to one whose network computes in 8-bit integers, with a golden pair of its own."""

import random
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tomli_w
from tqdm import tqdm

from cenet.export.check import compare
from cenet.export.errors import ExportError
from cenet.export.golden import write_pair
from cenet.export.graph import INPUT, block_nodes
from cenet.export.model_directory import appearing_whole
from cenet.export.preprocess import Preprocess
from cenet.export.quantize import quantize_model
from cenet.export.session import open_session

TOLERANCE = 0.1
"""Of the golden pair: kernels round at other places, and a number between two steps may fall to either side."""

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_COMPARED = 500


@dataclass(frozen=True)
class Calibration:
    """Pictures like those that the network will see.

    Args:
        folder: looked through with all its folders.
        count: how many of them give the ranges of activations; drawn by `seed`.
        reduce_range: 7 bits for weights, for x86 processors without VNNI.
        float_layers: so many of the layers that lose the most by 8 bits are left in floats.

    Raises:
        ExportError: for a count below 1, or a negative number of layers.
    """

    folder: Path
    count: int = 200
    seed: int = 0
    reduce_range: bool = False
    float_layers: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ExportError(f"at least one picture is needed to calibrate with, not {self.count}")
        if self.float_layers < 0:
            raise ExportError(f"{self.float_layers} layers can't be left in floats")

    def pictures(self) -> list[Path]:
        """All pictures of the folder, in the order in which they are drawn.

        Raises:
            ExportError: if there are none.
        """
        files = (file for file in self.folder.rglob("*") if file.suffix.lower() in _SUFFIXES)
        found = sorted(file for file in files if file.is_file())
        if not found:
            raise ExportError(f"no pictures in {self.folder}")
        random.Random(self.seed).shuffle(found)
        return found


@dataclass(frozen=True)
class QuantizeReport:
    """What became of a network, and how it compares with what it was."""

    output: Path
    ce_nodes: int
    model_bytes: int
    calibrated: int
    """Pictures that gave the ranges."""
    compared: int
    """Other pictures of the folder that both networks were asked about."""
    agreement: float | None
    """Of a classifier, the part of these that both give the same first label."""
    difference: float
    """Mean over these of the largest difference of an output, as a share of its largest value."""

    def __str__(self) -> str:
        lines = [f"{self.output}: {self.ce_nodes} CE nodes, {self.model_bytes / 1e6:.1f} MB in 8 bits"]
        lines.append(f"calibrated on {self.calibrated} pictures")
        if self.compared:
            same = "" if self.agreement is None else f"the same first label on {self.agreement:.1%}, "
            lines.append(f"against float32 on {self.compared} others: {same}outputs differ by {self.difference:.3g}")
        return "\n".join(lines)


def quantize_directory(source: Path, output: Path, calibration: Calibration, *, force: bool = False) -> QuantizeReport:
    """Writes the model directory `source` anew as `output`, in 8-bit integers.

    The golden pair's outputs are what ONNX Runtime gives for the quantised network. The directory appears whole or not
    at all. `force` replaces one that exists.

    Raises:
        ExportError: if it can't be quantised.
    """
    if output.exists() and not force:
        raise ExportError(f"{output} exists already; it is replaced only when forced")
    manifest = _told_apart(_manifest(source), source, output)
    preprocess = Preprocess.from_manifest(manifest["preprocess"])
    pictures = calibration.pictures()
    used, others = pictures[: calibration.count], pictures[calibration.count :][:_COMPARED]
    model = onnx.load(source / manifest["model"])
    inputs = _inputs(preprocess, used, "calibrate")
    quantized = quantize_model(
        model, inputs, reduce_range=calibration.reduce_range, float_layers=calibration.float_layers
    )
    with appearing_whole(output) as directory:
        onnx.save(quantized, directory / "model.onnx")
        _write_rest(source, directory, manifest)
        sessions = open_session(source / manifest["model"]), open_session(directory / "model.onnx")
        scores = manifest["task"] == "classify"
        agreement, difference = _compare(*sessions, _inputs(preprocess, others, "compare"), scores)
    nodes, size = len(block_nodes(quantized)), quantized.ByteSize()
    return QuantizeReport(output, nodes, size, len(used), len(others), agreement, difference)


def _manifest(source: Path) -> dict[str, Any]:
    try:
        manifest = tomllib.loads((source / "model.toml").read_text(encoding="utf-8"))
        kind = manifest["head"]["kind"]
        manifest = {"model": "model.onnx", **manifest}
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ExportError(f"{source / 'model.toml'} is no manifest: {error!r}") from error
    if kind not in ("scores", "fcos"):
        raise ExportError(f"a network with a head of kind {kind!r} decodes in its graph, where 8 bits are too few")
    return manifest


def _told_apart(manifest: dict[str, Any], source: Path, output: Path) -> dict[str, Any]:
    """`manifest` for the network in 8 bits, which answers by default only as a version of the same model."""
    other = output.absolute().parent.name != source.absolute().parent.name
    told = {key: value for key, value in manifest.items() if not (other and key == "default")}
    if "description" in told:
        told["description"] = f"{told['description'].rstrip('.')}, in 8-bit integers."
    return told


def _inputs(preprocess: Preprocess, pictures: list[Path], what: str) -> Iterator[np.ndarray]:
    return (preprocess.load(picture) for picture in tqdm(pictures, what, disable=None, unit="picture"))


def _write_rest(source: Path, directory: Path, manifest: dict[str, Any]) -> None:
    """All but the network: `manifest`'s other files, and a golden pair of the network in `directory`."""
    golden = manifest.get("golden", {})
    for name in (manifest.get("labels", "labels.txt"), golden.get("image")):
        if name and (source / name).exists():
            shutil.copyfile(source / name, directory / name)
    if golden:
        with np.load(source / golden["tensors"], allow_pickle=False) as archive:
            golden_input = archive[INPUT]
        session = open_session(directory / "model.onnx")
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, {INPUT: golden_input}), strict=True))
        write_pair(directory / golden["tensors"], golden_input, outputs)
        golden = {"golden": {**golden, "tolerance": TOLERANCE}}
    text = tomli_w.dumps({**manifest, "model": "model.onnx", **golden})
    (directory / "model.toml").write_text(text, encoding="utf-8")


def _compare(
    before: onnxruntime.InferenceSession,
    after: onnxruntime.InferenceSession,
    inputs: Iterator[np.ndarray],
    scores: bool,
) -> tuple[float | None, float]:
    """The part of `inputs` with the same first label, if outputs are `scores`, and the mean relative difference."""
    same, differences = [], []
    for given in inputs:
        expected, found = before.run(None, {INPUT: given}), after.run(None, {INPUT: given})
        pairs = zip(expected, found, strict=True)
        differences.append(max(compare("", found, expected, 1).relative for expected, found in pairs))
        same.append(expected[0].argmax() == found[0].argmax())
    if not differences:
        return None, 0.0
    return (float(np.mean(same)) if scores else None), float(np.mean(differences))
