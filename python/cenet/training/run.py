"""A training run in a folder of its own: resumable, with checkpoints, curves, and a result at the end."""

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cenet.training import curves

LAST = "last.pt"
BEST = "best.pt"
_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


class AnyRecipe(Protocol):
    """What every recipe says."""

    epochs: int

    def to_dict(self) -> dict: ...


@dataclass
class Clock:
    """Seconds of wall and processor time, added up over interruptions."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    _wall_start: float = field(default_factory=time.monotonic)
    _cpu_start: float = field(default_factory=time.process_time)

    def read(self) -> tuple[float, float]:
        return self.wall_s + time.monotonic() - self._wall_start, self.cpu_s + time.process_time() - self._cpu_start


@dataclass(frozen=True)
class Learner:
    """What an epoch changes."""

    network: nn.Module
    optimiser: Optimizer
    scheduler: LRScheduler

    def step(self, loss: Tensor, gradient_norm: float | None = None) -> None:
        """One step down the loss; a longer gradient is cut to `gradient_norm`."""
        self.optimiser.zero_grad()
        loss.backward()
        if gradient_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), gradient_norm)
        self.optimiser.step()
        self.scheduler.step()


class Run(ABC):
    """Trains one network on one data set; subclasses say how an epoch and the test go for their task.

    The weights after the last epoch are the result. `best.pt`, chosen by the validation part (taken out of the training
    pictures), is kept beside it; the test part is looked at once, when training is over, and chooses nothing.

    Each epoch starts from a seed made of the run's seed and the epoch's number, so that a resumed run repeats an
    uninterrupted one exactly.
    """

    record_type: ClassVar[type]
    """A dataclass of an epoch's results, which ends with `wall_s` and `cpu_s`."""

    def __init__(self, output: Path, recipe: AnyRecipe, norm: str, seed: int, learner: Learner) -> None:
        self.output, self.recipe, self.norm, self.seed, self.learner = output, recipe, norm, seed, learner
        self.records: list[Any] = []
        self.clock = Clock()

    @property
    def network(self) -> nn.Module:
        return self.learner.network

    @abstractmethod
    def load_pictures(self) -> None:
        """Brings what the epochs need into memory."""

    @abstractmethod
    def run_epoch(self, name: str) -> dict[str, float]:
        """Trains once over the pictures and validates; gives the record's fields that only the task knows."""

    @abstractmethod
    def test(self) -> dict[str, Any]:
        """Looks at the test part; gives what goes into the result."""

    @abstractmethod
    def quality(self, record: Any) -> float:
        """What the best epoch has most of, in 0 to 1."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What a checkpoint says about the network besides its weights."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be resumed, besides recipe, norm and seed."""

    @abstractmethod
    def plot_axes(self) -> tuple[curves.Axis, curves.Axis]:
        """What the plot of the curves shows, left and right."""

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
        self.learner.optimiser.load_state_dict(checkpoint["optimizer"])
        self.learner.scheduler.load_state_dict(checkpoint["scheduler"])
        self.records = [self.record_type(**record) for record in checkpoint["records"]]
        self.clock = Clock(self.records[-1].wall_s, self.records[-1].cpu_s)

    def train(self, stop_after: int | None = None) -> None:
        """Trains to the recipe's last epoch, or to epoch `stop_after`; then tests, unless stopped before the end."""
        self.load_pictures()
        for epoch in range(len(self.records) + 1, min(stop_after or self.recipe.epochs, self.recipe.epochs) + 1):
            self._run_epoch(epoch)
        if len(self.records) == self.recipe.epochs:
            self._test()

    def _run_epoch(self, epoch: int) -> None:
        torch.manual_seed(self.seed * 1_000_003 + epoch)
        rate = self.learner.scheduler.get_last_lr()[0]
        name = f"epoch {epoch}/{self.recipe.epochs}"
        results = self.run_epoch(name)
        wall, cpu = self.clock.read()
        self.records.append(self.record_type(epoch=epoch, learning_rate=rate, **results, wall_s=wall, cpu_s=cpu))
        self._save()
        print(f"{name}: rate {rate:.3g}, {_sentence(results)}, {wall:.0f} s, {cpu:.0f} CPU s", flush=True)

    def _save(self) -> None:
        checkpoint = self._checkpoint()
        save_atomically(checkpoint, self.output / LAST)
        if self.quality(self.records[-1]) >= max(map(self.quality, self.records)):
            save_atomically(checkpoint, self.output / BEST)
        curves.write_csv(self.records, self.output / "curves.csv")
        title = f"{self.describe()['model']}, {self.norm}, seed {self.seed}"
        curves.plot(self.records, title, *self.plot_axes(), self.output / "curves.png")

    def _identity(self) -> dict:
        """JSON types only."""
        identity = {"recipe": self.recipe.to_dict(), "norm": self.norm, "seed": self.seed, **self.identity()}
        return json.loads(json.dumps(identity))

    def _checkpoint(self) -> dict:
        """The network under the keys of the authors' checkpoints, and what export and resuming need besides."""
        return {
            "epoch": len(self.records),
            **self.describe(),
            "state_dict": self.network.state_dict(),
            "best_prec1": 100 * max(map(self.quality, self.records)),
            "optimizer": self.learner.optimiser.state_dict(),
            "scheduler": self.learner.scheduler.state_dict(),
            "records": [asdict(record) for record in self.records],
            "run": self._identity(),
        }

    def _test(self) -> None:
        wall, cpu = self.clock.read()
        scores = self.test()
        result = {
            "norm": self.norm,
            "seed": self.seed,
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "epochs": self.recipe.epochs,
            **scores,
            "training_wall_s": round(wall, 1),
            "training_cpu_s": round(cpu, 1),
            "threads": torch.get_num_threads(),
            "recipe": self.recipe.to_dict(),
        }
        (self.output / "result.json").write_text(json.dumps(result, indent=2) + "\n")
        tested = {name: value for name, value in scores.items() if isinstance(value, float)}
        print(_sentence(tested), flush=True)


def _sentence(results: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in results.items())


def autocast(precision: str) -> torch.autocast:
    """The forward pass's arithmetic; CE blocks keep their statistics in float32 whatever it is."""
    if precision not in _PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(_PRECISIONS)}")
    dtype = _PRECISIONS[precision]
    return torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def batch_indices(count: int, batch_size: int) -> list[list[int]]:
    """A random order, cut into full batches (one smaller batch if there are fewer pictures than that)."""
    order = torch.randperm(count).tolist()
    size = min(batch_size, count)
    return [order[start : start + size] for start in range(0, count - size + 1, size)]


def save_atomically(checkpoint: dict, file: Path) -> None:
    """Writes beside the file, then renames: a reader never meets half a checkpoint."""
    part = file.with_name(f"{file.name}.part")
    torch.save(checkpoint, part)
    os.replace(part, file)
