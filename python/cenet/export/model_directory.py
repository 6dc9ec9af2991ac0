"""Writes a model directory: `model.onnx`, `model.toml`, `labels.txt` and a golden pair, checked before it is there."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tomli_w
import torch
from torch import nn

from cenet.checkpoint import check_trained
from cenet.export.check import TOLERANCE, Difference, check_model
from cenet.export.errors import ExportError
from cenet.export.golden import pytorch_outputs, random_input, read_pair, write_pair
from cenet.export.graph import FIRST_OPSET, INPUT, block_nodes, to_onnx
from cenet.export.heads import ClassifierHead, Head
from cenet.export.preprocess import Preprocess

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ExportReport:
    """What was exported, and how it compares with PyTorch."""

    output: Path
    ce_nodes: int
    model_bytes: int
    differences: list[Difference]


@dataclass(frozen=True)
class GoldenSource:
    """Where the golden pair's input comes from; a seeded random input where neither is given."""

    image: Path | None = None
    """A picture, which goes into the model directory too."""
    pair: Path | None = None
    """A NumPy archive of `input` [N, 3, height, width] and the outputs by their names."""

    def __post_init__(self) -> None:
        if self.image and self.pair:
            raise ExportError("a golden pair comes from a picture or from an archive, not from both")


def export_model(
    module: nn.Module,
    output: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    golden: GoldenSource | None = None,
    head: Head | None = None,
    description: str | None = None,
    license: str | None = None,
    default: bool = False,
    opset: int = FIRST_OPSET,
    force: bool = False,
) -> ExportReport:
    """Exports a network on [N, 3, height, width] to the model directory `output`.

    Every CE block becomes one node; a module without any is exported as well. The directory appears whole, after the
    exported model was found to agree with PyTorch, or not at all. `module` is left as it is. Without `head` it is a
    classifier with softmax. Without `labels` they are called class_0, class_1 and so on. `default` lets it
    answer when a request names no model. `force` replaces a directory that exists.

    Raises:
        UntrainedBlockError: names every CE block without running statistics.
        CheckError: if the exported model's outputs differ from PyTorch's.
        ExportError: for anything else that can't be exported.
    """
    output, preprocess, golden = Path(output), preprocess or Preprocess(), golden or GoldenSource()
    head = head or ClassifierHead()
    if output.exists() and not force:
        raise ExportError(f"{output} exists already; it is replaced only when forced")
    with appearing_whole(output) as directory:
        check_trained(module)
        golden_input, golden_outputs = _golden_pair(module, preprocess, golden, head)
        labels = _checked_labels(labels, head.count_labels(golden_outputs))
        model = to_onnx(module, torch.from_numpy(golden_input), opset, head.outputs, head.open_batch)
        onnx.save(model, directory / "model.onnx")
        differences = check_model(directory / "model.onnx", module, golden_input, golden_outputs, head.open_batch)
        (directory / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        golden_files = _write_golden(directory, golden, golden_input, golden_outputs)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "task": head.task,
            "model": "model.onnx",
            "labels": "labels.txt",
            **({"description": description} if description else {}),
            **({"license": license} if license else {}),
            **({"default": True} if default else {}),
            "preprocess": preprocess.to_manifest(INPUT),
            **head.to_manifest(),
            "golden": {**golden_files, "tolerance": TOLERANCE},
        }
        (directory / "model.toml").write_text(tomli_w.dumps(manifest), encoding="utf-8")
    return ExportReport(output, len(block_nodes(model)), model.ByteSize(), differences)


def _golden_pair(
    module: nn.Module, preprocess: Preprocess, golden: GoldenSource, head: Head
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    if golden.pair:
        return read_pair(golden.pair, preprocess.size, head.outputs, head.open_batch)
    golden_input = preprocess.load(golden.image) if golden.image else random_input(preprocess.size)
    return golden_input, pytorch_outputs(module, golden_input, head.outputs)


def _write_golden(
    directory: Path, golden: GoldenSource, golden_input: np.ndarray, golden_outputs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    write_pair(directory / "golden.npz", golden_input, golden_outputs)
    if not golden.image:
        return {"tensors": "golden.npz"}
    name = f"golden{golden.image.suffix.lower()}"
    shutil.copyfile(golden.image, directory / name)
    return {"tensors": "golden.npz", "image": name}


def _checked_labels(labels: Sequence[str] | None, outputs: int) -> list[str]:
    if labels is None:
        return [f"class_{index}" for index in range(outputs)]
    if len(labels) != outputs:
        raise ExportError(f"{len(labels)} labels for a model of {outputs} outputs")
    for number, label in enumerate(labels, start=1):
        if not label.strip() or label != label.strip() or len(label.splitlines()) != 1:
            raise ExportError(f"label {number} is blank, padded or of several lines: {label!r}")
    return list(labels)


@contextlib.contextmanager
def appearing_whole(output: Path) -> Iterator[Path]:
    """A directory to write to, which takes `output`'s place at the end, or is deleted if anything fails before."""
    nearest = next(parent for parent in output.absolute().parents if parent.exists())
    part = nearest / f".{output.name}.{uuid.uuid4().hex}.part"
    part.mkdir()
    try:
        yield part
        output.parent.mkdir(parents=True, exist_ok=True)
        replaced = part.with_suffix(".old")
        if output.exists():
            output.rename(replaced)
        part.rename(output)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
