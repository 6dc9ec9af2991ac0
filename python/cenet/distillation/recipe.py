"""Everything that decides the outcome of a distillation, apart from the teacher, the pictures and the seed."""

from dataclasses import asdict, dataclass, field

from cenet.training.augment import Augmentation


@dataclass(frozen=True)
class DistillationRecipe:
    """An epoch is `crops_per_epoch` pictures, drawn anew from the training part each time.

    `ce_learning_rate` is that of the CE blocks' own parameters, `learning_rate` that of all others. The loss is the
    divergence of the student's probabilities from the teacher's, and `logit_weight` times the mean square distance of
    their logits. `stream_rms` and `gate_gain` say how the student starts (`cenet.distillation.start`), from
    `start_pictures` pictures.
    """

    epochs: int = 8
    crops_per_epoch: int = 1536
    batch_size: int = 32
    learning_rate: float = 1e-5
    ce_learning_rate: float = 2e-4
    warmup_epochs: int = 1
    gradient_norm: float = 5.0
    logit_weight: float = 0.05
    start_pictures: int = 256
    stream_rms: float = 0.8
    gate_gain: float = 4.0
    precision: str = "float32"
    split_seed: int = 0
    test_fraction: float = 0.1
    validation_pictures: int = 256
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(crop_scale=(0.35, 1.0), jitter=0.3, mixup_alpha=0.0)
    )

    def to_dict(self) -> dict:
        return asdict(self)


RECIPES: dict[str, DistillationRecipe] = {
    "default": DistillationRecipe(),
}
