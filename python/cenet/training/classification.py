"""The training run of a classifier on a folder of pictures per class."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cenet.networks import build_network
from cenet.training import curves
from cenet.training.augment import augment
from cenet.training.dataset import Split, split_folder, write_split
from cenet.training.images import MEAN, STD, cache_for_evaluation, cache_for_training, labels_of, normalise
from cenet.training.loop import evaluate, train_epoch
from cenet.training.optimiser import build_optimiser, build_scheduler
from cenet.training.recipe import Recipe
from cenet.training.run import Learner, Run, batch_indices
from cenet.training.start import fingerprint, load_start

_START_PICTURES = 256


@dataclass(frozen=True)
class EpochRecord:
    """Losses are mean cross-entropies (the training one with smoothing and mix-up); seconds add up over the run."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_top1: float
    validation_balanced: float
    wall_s: float
    cpu_s: float


class ClassificationRun(Run):
    """See `Run`. `start_from` is a checkpoint, or a model directory, with the first weights (`training.start`)."""

    record_type = EpochRecord

    def __init__(
        self, data: Path, output: Path, recipe: Recipe, norm: str, seed: int, start_from: Path | None = None
    ) -> None:
        output.mkdir(parents=True, exist_ok=True)
        self.split = _split(data, output, recipe)
        torch.manual_seed(seed)
        self.start_from = start_from
        self.options = {"norm": norm, "num_classes": len(self.split.labels)}
        network = build_network(recipe.arch, **self.options).to(memory_format=torch.channels_last)
        optimiser = build_optimiser(network, recipe)
        steps = max(1, len(self.split.train) // recipe.batch_size)
        scheduler = build_scheduler(optimiser, recipe, steps)
        super().__init__(output, recipe, norm, seed, Learner(network, optimiser, scheduler))

    def load_pictures(self) -> None:
        self.pictures = cache_for_training(self.split.train, self.recipe.training_resize)
        self.labels = labels_of(self.split.train)
        self.validation = self._evaluation_part("validation")
        if self.start_from and not self.records:
            load_start(self.network, self.start_from, self.recipe.arch, self._start_batches())

    def _start_batches(self) -> list[Tensor]:
        """Some training pictures as an epoch has them."""
        count = min(len(self.pictures), _START_PICTURES)
        batches = batch_indices(count, self.recipe.batch_size)
        size, strengths = self.recipe.image_size, self.recipe.augmentation
        return [normalise(augment([self.pictures[i] for i in batch], size, strengths)) for batch in batches]

    def _evaluation_part(self, name: str) -> tuple[Tensor, Tensor]:
        pictures = getattr(self.split, name)
        pixels = cache_for_evaluation(pictures, self.recipe.evaluation_resize, self.recipe.image_size, name)
        return pixels, labels_of(pictures)

    def run_epoch(self, name: str) -> dict[str, float]:
        loss = train_epoch(self.learner, self.pictures, self.labels, self.recipe, name)
        scores = evaluate(self.network, *self.validation, self.recipe.batch_size)
        return {"train_loss": loss, **{f"validation_{key}": value for key, value in asdict(scores).items()}}

    def quality(self, record: EpochRecord) -> float:
        return record.validation_top1

    def identity(self) -> dict[str, Any]:
        return {"start_sha256": self.start_from and fingerprint(self.start_from)}

    def describe(self) -> dict[str, Any]:
        return {
            "model": self.recipe.arch,
            "model_options": self.options,
            "labels": self.split.labels,
            "preprocessing": {
                "resize": self.recipe.evaluation_resize,
                "crop": self.recipe.image_size,
                "mean": list(MEAN),
                "std": list(STD),
            },
        }

    def plot_axes(self) -> tuple[curves.Axis, curves.Axis]:
        losses = {"training loss": "train_loss", "validation loss": "validation_loss"}
        accuracies = {"validation top-1": "validation_top1", "validation, class-balanced": "validation_balanced"}
        return curves.Axis("cross-entropy", losses), curves.Axis("accuracy (%)", accuracies, percent=True)

    def test(self) -> dict[str, Any]:
        scores = evaluate(self.network, *self._evaluation_part("test"), self.recipe.batch_size)
        return {
            "arch": self.recipe.arch,
            "pictures": {name: len(getattr(self.split, name)) for name in ("train", "validation", "test")},
            "test_top1": scores.top1,
            "test_balanced": scores.balanced,
            "test_loss": scores.loss,
            "validation_top1": self.records[-1].validation_top1,
        }


def _split(data: Path, output: Path, recipe: Recipe) -> Split:
    split = split_folder(
        data,
        exclude=recipe.exclude,
        seed=recipe.split_seed,
        test_fraction=recipe.test_fraction,
        validation_fraction=recipe.validation_fraction,
    )
    write_split(split, data, output / "split.tsv")
    return split
