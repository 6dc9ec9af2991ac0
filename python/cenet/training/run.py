"""A training run in a folder of its own: resumable, with checkpoints, curves, and a result at the end."""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from cenet.networks import build_network
from cenet.training import curves
from cenet.training.dataset import Split, split_folder, write_split
from cenet.training.images import MEAN, STD, cache_for_evaluation, cache_for_training, labels_of
from cenet.training.loop import Scores, evaluate, train_epoch
from cenet.training.optimiser import build_optimiser, build_scheduler
from cenet.training.recipe import Recipe

LAST = "last.pt"
BEST = "best.pt"


@dataclass
class Clock:
    """Seconds of wall and processor time, added up over interruptions."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    _wall_start: float = field(default_factory=time.monotonic)
    _cpu_start: float = field(default_factory=time.process_time)

    def read(self) -> tuple[float, float]:
        return self.wall_s + time.monotonic() - self._wall_start, self.cpu_s + time.process_time() - self._cpu_start


class TrainingRun:
    """Trains one network on one folder of pictures.

    The weights after the last epoch are the result. `best.pt`, chosen by the validation part (taken out of the training
    pictures), is kept beside it; the test part is looked at once, when training is over, and chooses nothing.

    Each epoch starts from a seed made of the run's seed and the epoch's number, so that a resumed run repeats an
    uninterrupted one exactly.
    """

    def __init__(self, data: Path, output: Path, recipe: Recipe, norm: str, seed: int) -> None:
        self.output, self.recipe, self.norm, self.seed = output, recipe, norm, seed
        output.mkdir(parents=True, exist_ok=True)
        self.split = self._split(data)
        torch.manual_seed(seed)
        self.options = {"norm": norm, "num_classes": len(self.split.labels)}
        self.network = build_network(recipe.arch, **self.options).to(memory_format=torch.channels_last)
        self.optimiser = build_optimiser(self.network, recipe)
        steps = max(1, len(self.split.train) // recipe.batch_size)
        self.scheduler = build_scheduler(self.optimiser, recipe, steps)
        self.records: list[curves.EpochRecord] = []
        self.clock = Clock()

    def _split(self, data: Path) -> Split:
        split = split_folder(
            data,
            exclude=self.recipe.exclude,
            seed=self.recipe.split_seed,
            test_fraction=self.recipe.test_fraction,
            validation_fraction=self.recipe.validation_fraction,
        )
        write_split(split, data, self.output / "split.tsv")
        return split

    def resume(self) -> None:
        """Goes on after the last finished epoch, if there is a checkpoint.

        Raises:
            ValueError: if the checkpoint is of another recipe, norm or seed.
        """
        file = self.output / LAST
        if not file.exists():
            return
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        if checkpoint["run"] != self._identity():
            raise ValueError(f"{file} belongs to another run: {checkpoint['run']}, asked for: {self._identity()}")
        self.network.load_state_dict(checkpoint["state_dict"])
        self.optimiser.load_state_dict(checkpoint["optimizer"])
        self.scheduler.load_state_dict(checkpoint["scheduler"])
        self.records = [curves.EpochRecord(**record) for record in checkpoint["records"]]
        self.clock = Clock(self.records[-1].wall_s, self.records[-1].cpu_s)

    def train(self, stop_after: int | None = None) -> None:
        """Trains to the recipe's last epoch, or to epoch `stop_after`; then tests, unless stopped before the end."""
        pictures = cache_for_training(self.split.train, self.recipe.training_resize)
        labels = labels_of(self.split.train)
        validation = self._evaluation_part("validation")
        for epoch in range(len(self.records) + 1, min(stop_after or self.recipe.epochs, self.recipe.epochs) + 1):
            self._run_epoch(epoch, pictures, labels, validation)
        if len(self.records) == self.recipe.epochs:
            self._test()

    def _evaluation_part(self, name: str) -> tuple[Tensor, Tensor]:
        pictures = getattr(self.split, name)
        pixels = cache_for_evaluation(pictures, self.recipe.evaluation_resize, self.recipe.image_size, name)
        return pixels, labels_of(pictures)

    def _run_epoch(self, epoch: int, pictures: list[Tensor], labels: Tensor, validation: tuple[Tensor, Tensor]) -> None:
        torch.manual_seed(self.seed * 1_000_003 + epoch)
        rate = self.scheduler.get_last_lr()[0]
        name = f"epoch {epoch}/{self.recipe.epochs}"
        loss = train_epoch(self.network, pictures, labels, self.optimiser, self.scheduler, self.recipe, name)
        scores = evaluate(self.network, *validation, self.recipe.batch_size)
        wall, cpu = self.clock.read()
        self.records.append(curves.EpochRecord(epoch, rate, loss, scores.loss, scores.top1, scores.balanced, wall, cpu))
        self._save(scores)
        print(
            f"{name}: rate {rate:.4f}, training loss {loss:.4f}, validation loss {scores.loss:.4f}, "
            f"top-1 {scores.top1:.4f}, balanced {scores.balanced:.4f}, {wall:.0f} s, {cpu:.0f} CPU s",
            flush=True,
        )

    def _save(self, scores: Scores) -> None:
        checkpoint = self._checkpoint()
        save_atomically(checkpoint, self.output / LAST)
        if scores.top1 >= max(record.validation_top1 for record in self.records):
            save_atomically(checkpoint, self.output / BEST)
        curves.write_csv(self.records, self.output / "curves.csv")
        curves.plot(self.records, f"{self.recipe.arch}, {self.norm}, seed {self.seed}", self.output / "curves.png")

    def _identity(self) -> dict:
        """What must agree for a checkpoint to be resumed; JSON types only."""
        return json.loads(json.dumps({"recipe": self.recipe.to_dict(), "norm": self.norm, "seed": self.seed}))

    def _checkpoint(self) -> dict:
        """The network under the keys of the authors' checkpoints, and what export and resuming need besides."""
        return {
            "epoch": len(self.records),
            "model": self.recipe.arch,
            "model_options": self.options,
            "state_dict": self.network.state_dict(),
            "best_prec1": 100 * max(record.validation_top1 for record in self.records),
            "optimizer": self.optimiser.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "labels": self.split.labels,
            "preprocessing": {
                "resize": self.recipe.evaluation_resize,
                "crop": self.recipe.image_size,
                "mean": list(MEAN),
                "std": list(STD),
            },
            "records": [asdict(record) for record in self.records],
            "run": self._identity(),
        }

    def _test(self) -> None:
        wall, cpu = self.clock.read()
        scores = evaluate(self.network, *self._evaluation_part("test"), self.recipe.batch_size)
        result = {
            "arch": self.recipe.arch,
            "norm": self.norm,
            "seed": self.seed,
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "epochs": self.recipe.epochs,
            "pictures": {name: len(getattr(self.split, name)) for name in ("train", "validation", "test")},
            "test_top1": scores.top1,
            "test_balanced": scores.balanced,
            "test_loss": scores.loss,
            "validation_top1": self.records[-1].validation_top1,
            "training_wall_s": round(wall, 1),
            "training_cpu_s": round(cpu, 1),
            "threads": torch.get_num_threads(),
            "recipe": self.recipe.to_dict(),
        }
        (self.output / "result.json").write_text(json.dumps(result, indent=2) + "\n")
        print(f"test: top-1 {scores.top1:.4f}, balanced {scores.balanced:.4f}, loss {scores.loss:.4f}", flush=True)


def save_atomically(checkpoint: dict, file: Path) -> None:
    """Writes beside the file, then renames: a reader never meets half a checkpoint."""
    part = file.with_name(f"{file.name}.part")
    torch.save(checkpoint, part)
    os.replace(part, file)
