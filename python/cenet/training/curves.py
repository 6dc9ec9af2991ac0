"""The learning curves of a run: a CSV file with a line an epoch, and a plot of it."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


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


def write_csv(records: Sequence[EpochRecord], file: Path) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [column.name for column in fields(EpochRecord)])
        writer.writeheader()
        writer.writerows({k: round(v, 6) for k, v in asdict(record).items()} for record in records)


def plot(records: Sequence[EpochRecord], title: str, file: Path) -> None:
    """Losses on the left axis, accuracies on the right one."""
    epochs = [record.epoch for record in records]
    figure, losses = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    losses.plot(epochs, [r.train_loss for r in records], "C0-", label="training loss")
    losses.plot(epochs, [r.validation_loss for r in records], "C0--", label="validation loss")
    losses.set(xlabel="epoch", ylabel="cross-entropy", title=title)
    accuracies = losses.twinx()
    accuracies.plot(epochs, [100 * r.validation_top1 for r in records], "C1-", label="validation top-1")
    accuracies.plot(epochs, [100 * r.validation_balanced for r in records], "C1--", label="validation, class-balanced")
    accuracies.set(ylabel="accuracy (%)", ylim=(0, 100))
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
