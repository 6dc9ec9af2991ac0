"""The training run of a detector on pictures with boxes."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cenet.checkpoint import read_checkpoint
from cenet.detection.annotations import AnnotatedPicture, read_part
from cenet.detection.evaluation import AveragePrecision, average_precision, detect
from cenet.detection.loop import train_epoch
from cenet.detection.network import STRIDES, Detector, build_detector
from cenet.detection.pictures import EvaluationSet, load_for_evaluation, load_samples
from cenet.detection.recipe import DetectionRecipe
from cenet.errors import DataError
from cenet.training import curves
from cenet.training.dataset import write_split
from cenet.training.images import MEAN, STD, normalise
from cenet.training.optimiser import build_adamw, build_scheduler
from cenet.training.run import Learner, Run
from cenet.training.start import exported_state, fingerprint

# Pictures that give a model directory's network its statistics.
_START_PICTURES = 64


@dataclass(frozen=True)
class EpochRecord:
    """Training losses are means over the epoch; mean average precisions after COCO; seconds add up over the run."""

    epoch: int
    learning_rate: float
    class_loss: float
    box_loss: float
    centerness_loss: float
    train_loss: float
    validation_map50: float
    validation_map50_95: float
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class DetectionSplit:
    """Disjoint lists of pictures; the validation part is taken out of the training part."""

    labels: list[str]
    train: list[AnnotatedPicture]
    validation: list[AnnotatedPicture]
    test: list[AnnotatedPicture]


class DetectionRun(Run):
    """See `Run`. `start_from` has the first weights: a checkpoint or model directory of the recipe's backbone as a
    classifier, or a checkpoint of its detector.
    """

    record_type = EpochRecord

    def __init__(
        self, data: Path, output: Path, recipe: DetectionRecipe, norm: str, seed: int, start_from: Path | None = None
    ) -> None:
        if any(side % STRIDES[-1] for side in recipe.size):
            raise ValueError(f"height and width must be multiples of {STRIDES[-1]}, got {list(recipe.size)}")
        output.mkdir(parents=True, exist_ok=True)
        self.split = split_parts(data, recipe)
        write_split(self.split, data, output / "split.tsv")
        torch.manual_seed(seed)
        self.options = {
            "backbone": recipe.backbone,
            "norm": norm,
            "num_classes": len(self.split.labels),
            "channels": recipe.channels,
            "depth": recipe.depth,
        }
        network = build_detector(**self.options).to(memory_format=torch.channels_last)
        self.start_hash = None
        if start_from is not None:
            load_start(network, start_from, recipe.backbone, lambda: _start_batches(self.split.train, recipe))
            self.start_hash = fingerprint(start_from)
        optimiser = build_adamw(network, recipe.learning_rate, recipe.weight_decay)
        scheduler = build_scheduler(optimiser, recipe, max(1, len(self.split.train) // recipe.batch_size))
        super().__init__(output, recipe, norm, seed, Learner(network, optimiser, scheduler))

    def load_pictures(self) -> None:
        self.samples = load_samples(self.split.train, "train")
        self.validation = self._evaluation_part("validation")

    def _evaluation_part(self, name: str) -> EvaluationSet:
        return load_for_evaluation(getattr(self.split, name), self.recipe.size, self.recipe.fit, name)

    def run_epoch(self, name: str) -> dict[str, float]:
        losses = train_epoch(self.learner, self.samples, self.recipe, name)
        precision = self._evaluate(self.validation)
        return {
            "class_loss": losses.classes.item(),
            "box_loss": losses.boxes.item(),
            "centerness_loss": losses.centerness.item(),
            "train_loss": losses.total().item(),
            "validation_map50": precision.map50,
            "validation_map50_95": precision.map50_95,
        }

    def _evaluate(self, pictures: EvaluationSet) -> AveragePrecision:
        found = detect(self.network, pictures, self.recipe.batch_size)
        return average_precision(found, pictures.pictures, self.split.labels)

    def quality(self, record: EpochRecord) -> float:
        # A validation part of pictures without objects says nothing.
        return 0.0 if math.isnan(record.validation_map50) else record.validation_map50

    def identity(self) -> dict[str, Any]:
        return {"start_sha256": self.start_hash}

    def describe(self) -> dict[str, Any]:
        return {
            "task": "detect",
            "model": "fcos",
            "model_options": self.options,
            "labels": self.split.labels,
            "preprocessing": {
                "size": list(self.recipe.size),
                "fit": self.recipe.fit,
                "mean": list(MEAN),
                "std": list(STD),
            },
        }

    def plot_axes(self) -> tuple[curves.Axis, curves.Axis]:
        losses = {"training loss": "train_loss", "classes": "class_loss", "boxes": "box_loss"}
        precisions = {"validation mAP50": "validation_map50", "validation mAP50-95": "validation_map50_95"}
        return curves.Axis("loss", losses), curves.Axis("average precision (%)", precisions, percent=True)

    def test(self) -> dict[str, Any]:
        precision = self._evaluate(self._evaluation_part("test"))
        return {
            "backbone": self.recipe.backbone,
            "start_sha256": self.start_hash,
            "pictures": {name: len(getattr(self.split, name)) for name in ("train", "validation", "test")},
            "test_map50": precision.map50,
            "test_map50_95": precision.map50_95,
            "test_by_label": {name: {"ap50": ap50, "ap50_95": ap} for name, (ap50, ap) in precision.by_label.items()},
            "validation_map50": self.records[-1].validation_map50,
        }


def split_parts(data: Path, recipe: DetectionRecipe) -> DetectionSplit:
    """The recipe's parts of the data set; the validation part depends on file names, fraction and seed only.

    Raises:
        DataError: if a part can't be read, has too few pictures, or other labels than the other part.
    """
    training, test = read_part(data, recipe.train_part), read_part(data, recipe.test_part)
    if training.labels != test.labels:
        raise DataError(f"the parts have different labels: {training.labels} and {test.labels}")
    pictures = sorted(training.pictures, key=lambda picture: picture.path.name)
    if len(pictures) < 2:
        raise DataError(f"a training part needs at least 2 pictures, {recipe.train_part} has {len(pictures)}")
    random.Random(recipe.split_seed).shuffle(pictures)
    count = min(max(1, round(len(pictures) * recipe.validation_fraction)), len(pictures) - 1)
    return DetectionSplit(training.labels, pictures[count:], pictures[:count], test.pictures)


def load_start(network: Detector, source: Path, backbone: str, batches: Callable[[], Sequence[Tensor]]) -> None:
    """Loads a detector's weights, or those of a classifier named `backbone` without the classifier.

    `batches` are inputs as training has them, for the statistics of a model directory.

    Raises:
        ValueError: if they don't fit.
        OSError: if they can't be read.
    """
    if source.is_dir():
        part, state = network.backbone, exported_state(source, backbone, batches())
    else:
        checkpoint = read_checkpoint(source)
        part, state = network if checkpoint.task == "detect" else network.backbone, checkpoint.state
    expected = part.state_dict()
    unfit = [name for name in expected if name not in state or state[name].shape != expected[name].shape]
    if unfit:
        raise ValueError(f"{source} doesn't fit: {len(unfit)} keys differ, such as {', '.join(unfit[:5])}")
    part.load_state_dict({name: state[name] for name in expected})


def _start_batches(pictures: Sequence[AnnotatedPicture], recipe: DetectionRecipe) -> Sequence[Tensor]:
    fitted = load_for_evaluation(pictures[:_START_PICTURES], recipe.size, recipe.fit, "start")
    return normalise(fitted.pixels).split(recipe.batch_size)
