"""The training run of a student on pictures without labels."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from tqdm import tqdm

from cenet.block import CEBlock
from cenet.distillation.agreement import Agreement, agreement, answer, divergence
from cenet.distillation.pictures import (
    Normalisation,
    UnlabelledPicture,
    find_pictures,
    load_inputs,
    read_picture,
    split_pictures,
    write_split,
)
from cenet.distillation.recipe import DistillationRecipe
from cenet.distillation.start import freeze_before_blocks, start_student
from cenet.distillation.teacher import Teacher
from cenet.networks import build_network
from cenet.training import curves
from cenet.training.augment import augment
from cenet.training.optimiser import build_scheduler
from cenet.training.run import Learner, Run, autocast, batch_indices


@dataclass(frozen=True)
class EpochRecord:
    """Losses as in the recipe (training) and `Agreement` (validation); seconds add up over the run."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_top1: float
    validation_in_top5: float
    wall_s: float
    cpu_s: float


class DistillationRun(Run):
    """See `Run`. `test_data` are folders measured at the end besides the part that is held out of `data`.

    The student learns in its inference form: batch normalisations and CE blocks keep the statistics that the start
    gave them, weights change. With batches of a few pictures that is steadier, and it is what will be served.
    """

    record_type = EpochRecord

    def __init__(
        self,
        data: Sequence[Path],
        output: Path,
        recipe: DistillationRecipe,
        seed: int,
        teacher: Teacher,
        test_data: Sequence[Path] = (),
    ) -> None:
        output.mkdir(parents=True, exist_ok=True)
        self.teacher, self.test_data = teacher, test_data
        pictures = find_pictures(data)
        self.split = split_pictures(pictures, recipe.split_seed, recipe.test_fraction, recipe.validation_pictures)
        write_split(self.split, output / "split.tsv")
        torch.manual_seed(seed)
        self.options = {**teacher.options, "num_classes": len(teacher.labels)}
        student = build_network(teacher.arch, norm="ce", **self.options).to(memory_format=torch.channels_last)
        optimiser = _build_optimiser(student, recipe)
        steps = max(1, min(recipe.crops_per_epoch, len(self.split.train)) // recipe.batch_size)
        scheduler = build_scheduler(optimiser, recipe, steps)
        super().__init__(output, recipe, "ce", seed, Learner(student, optimiser, scheduler))

    def load_pictures(self) -> None:
        self.normalise = Normalisation.of(self.teacher.preprocessing)
        self.validation = self._evaluation_part(self.split.validation, "validation")
        if not self.records:
            self._start()
        freeze_before_blocks(self.network, self.validation[0][:1])

    def _start(self) -> None:
        pictures = self.split.train[: self.recipe.start_pictures]
        inputs = load_inputs(pictures, self.teacher.preprocessing, "start").split(self.recipe.batch_size)
        start_student(self.network, self.teacher.network, inputs, self.recipe.stream_rms, self.recipe.gate_gain)
        scores = self._agreement(self.validation)
        print(
            f"start: validation top1 {scores.top1:.4f}, in top5 {scores.in_top5:.4f}, loss {scores.loss:.4f}",
            flush=True,
        )

    def _evaluation_part(self, pictures: Sequence[UnlabelledPicture], name: str) -> tuple[Tensor, Tensor]:
        """Inputs and the teacher's logits."""
        inputs = load_inputs(pictures, self.teacher.preprocessing, name)
        return inputs, answer(self.teacher.network, inputs, self.recipe.batch_size, f"teach {name}")

    def _agreement(self, part: tuple[Tensor, Tensor]) -> Agreement:
        inputs, logits = part
        return agreement(answer(self.network, inputs, self.recipe.batch_size), logits)

    def run_epoch(self, name: str) -> dict[str, float]:
        self.network.eval()
        drawn = torch.randperm(len(self.split.train))[: self.recipe.crops_per_epoch].tolist()
        batches = [[drawn[i] for i in batch] for batch in batch_indices(len(drawn), self.recipe.batch_size)]
        losses = [self._step(batch) for batch in tqdm(batches, desc=name, leave=False, mininterval=10)]
        if not all(loss == loss for loss in losses):
            raise FloatingPointError(f"the loss became NaN in {name}")
        scores = self._agreement(self.validation)
        return {
            "train_loss": sum(losses) / len(losses),
            **{f"validation_{key}": value for key, value in asdict(scores).items()},
        }

    def _step(self, indices: list[int]) -> float:
        pictures = [read_picture(self.split.train[index].path) for index in indices]
        inputs = self.normalise(augment(pictures, self.teacher.preprocessing["crop"], self.recipe.augmentation))
        with torch.no_grad():
            taught = self.teacher.network(inputs)
        with autocast(self.recipe.precision):
            logits = self.network(inputs)
        logits = logits.float()
        loss = divergence(logits, taught) + self.recipe.logit_weight * F.mse_loss(logits, taught)
        self.learner.step(loss, self.recipe.gradient_norm)
        return loss.item()

    def quality(self, record: EpochRecord) -> float:
        return record.validation_top1

    def identity(self) -> dict[str, Any]:
        return {"teacher_sha256": _fingerprint(self.teacher.network)}

    def describe(self) -> dict[str, Any]:
        return {
            "model": self.teacher.arch,
            "model_options": {"norm": "ce", **self.options},
            "labels": self.teacher.labels,
            "preprocessing": self.teacher.preprocessing,
        }

    def plot_axes(self) -> tuple[curves.Axis, curves.Axis]:
        losses = {"training loss": "train_loss", "validation divergence": "validation_loss"}
        shares = {"top-1 as the teacher": "validation_top1", "teacher's in top 5": "validation_in_top5"}
        return curves.Axis("loss", losses), curves.Axis("validation pictures (%)", shares, percent=True)

    def test(self) -> dict[str, Any]:
        parts = {"held_out": self.split.test, **{str(folder): find_pictures([folder]) for folder in self.test_data}}
        scores = {name: self._agreement(self._evaluation_part(pictures, name)) for name, pictures in parts.items()}
        return {
            "arch": self.teacher.arch,
            "pictures": {
                **{name: len(getattr(self.split, name)) for name in ("train", "validation")},
                **{name: len(pictures) for name, pictures in parts.items()},
            },
            **{f"{name}_{key}": value for name, score in scores.items() for key, value in asdict(score).items()},
        }


def _build_optimiser(student: nn.Module, recipe: DistillationRecipe) -> AdamW:
    """No decay: the student starts where it should end up."""
    own = {id(p) for block in student.modules() if isinstance(block, CEBlock) for p in block.parameters()}
    parameters = list(student.parameters())
    groups = [
        {"params": [p for p in parameters if id(p) not in own], "lr": recipe.learning_rate},
        {"params": [p for p in parameters if id(p) in own], "lr": recipe.ce_learning_rate},
    ]
    return AdamW(groups, weight_decay=0.0)


def _fingerprint(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
