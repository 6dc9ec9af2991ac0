"""Everything that decides the outcome of a detector's training, apart from data, first weights and seed."""

from dataclasses import asdict, dataclass, field

from cenet.detection.augment import BoxAugmentation
from cenet.placement import FitMode


@dataclass(frozen=True)
class DetectionRecipe:
    """`size` is the height and width of the network's input in pixels, multiples of 32.

    Parts are VOC image sets or COCO files; see `cenet.detection.annotations.read_part`.
    """

    backbone: str = "ce_resnet_small"
    channels: int = 64
    depth: int = 2
    size: tuple[int, int] = (288, 384)
    fit: FitMode = "letterbox"
    train_part: str = "trainval"
    test_part: str = "test"
    validation_fraction: float = 0.05
    split_seed: int = 0
    epochs: int = 40
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup_epochs: int = 1
    weight_decay: float = 0.05
    gradient_norm: float = 10.0
    precision: str = "bfloat16"
    augmentation: BoxAugmentation = field(default_factory=BoxAugmentation)

    def to_dict(self) -> dict:
        return asdict(self)


RECIPES: dict[str, DetectionRecipe] = {
    "default": DetectionRecipe(augmentation=BoxAugmentation(vertical_flip=0.0)),
    # Blood cells have no upright; all pictures have the input's aspect ratio.
    "bccd": DetectionRecipe(fit="stretch", epochs=16),
    # To go on with what `bccd` gave, at a higher resolution.
    "bccd_fine": DetectionRecipe(size=(384, 512), fit="stretch", epochs=8, learning_rate=5e-4),
}
