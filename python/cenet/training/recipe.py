"""Everything that decides the outcome of a training run, apart from the data and the seed."""

from dataclasses import asdict, dataclass, field

from cenet.training.augment import Augmentation


@dataclass(frozen=True)
class Recipe:
    """`image_size` is the side of the network's input; the other sizes are shorter sides to scale to, in pixels."""

    arch: str = "ce_resnet_small"
    epochs: int = 40
    batch_size: int = 64
    image_size: int = 112
    evaluation_resize: int = 128
    training_resize: int = 144
    learning_rate: float = 0.1
    warmup_epochs: int = 3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    precision: str = "bfloat16"
    exclude: tuple[str, ...] = ()
    split_seed: int = 0
    test_fraction: float = 0.2
    validation_fraction: float = 0.05
    augmentation: Augmentation = field(default_factory=Augmentation)

    def to_dict(self) -> dict:
        return asdict(self)


RECIPES: dict[str, Recipe] = {
    "default": Recipe(),
    "caltech101": Recipe(exclude=("BACKGROUND_Google",)),
}
