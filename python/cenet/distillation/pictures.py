"""Pictures without labels: found, split, read and normalised as a teacher wants them."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import functional as transforms
from tqdm import tqdm

from cenet.errors import DataError
from cenet.export.preprocess import Preprocess
from cenet.training.dataset import SUFFIXES

# Pictures are decoded at no less than this on their shorter side: more than any crop keeps.
_DECODED_SIDE = 512


@dataclass(frozen=True)
class UnlabelledPicture:
    path: Path


@dataclass(frozen=True)
class UnlabelledSplit:
    """Disjoint lists of pictures."""

    train: list[UnlabelledPicture]
    validation: list[UnlabelledPicture]
    test: list[UnlabelledPicture]


def find_pictures(folders: Sequence[Path]) -> list[UnlabelledPicture]:
    """All pictures below `folders`, at any depth, sorted.

    Raises:
        DataError: if there is none below one of them.
    """
    found: set[Path] = set()
    for folder in folders:
        below = {file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES}
        if not below:
            raise DataError(f"no pictures below {folder}")
        found |= below
    return [UnlabelledPicture(path) for path in sorted(found)]


def split_pictures(
    pictures: Sequence[UnlabelledPicture], seed: int, test_fraction: float, validation_pictures: int
) -> UnlabelledSplit:
    """A seeded split into parts without a file in common: byte-for-byte copies go into one part.

    Raises:
        DataError: if there are too few pictures.
    """
    copies: dict[bytes, list[UnlabelledPicture]] = {}
    for picture in pictures:
        copies.setdefault(hashlib.sha256(picture.path.read_bytes()).digest(), []).append(picture)
    groups = list(copies.values())
    random.Random(seed).shuffle(groups)
    tests = max(1, round(len(groups) * test_fraction))
    validations = min(validation_pictures, (len(groups) - tests) // 2)
    if validations < 1:
        raise DataError(f"{len(groups)} different pictures are too few to split")
    parts = (groups[:tests], groups[tests : tests + validations], groups[tests + validations :])
    test, validation, train = ([picture for group in part for picture in group] for part in parts)
    return UnlabelledSplit(train, validation, test)


def write_split(split: UnlabelledSplit, file: Path) -> None:
    """Writes one line a picture, `part<TAB>path`."""
    parts = (("train", split.train), ("validation", split.validation), ("test", split.test))
    file.write_text("".join(f"{part}\t{picture.path}\n" for part, pictures in parts for picture in pictures))


def read_split(file: Path, part: str) -> list[UnlabelledPicture]:
    """One part of what `write_split` wrote."""
    lines = (line.split("\t", 1) for line in file.read_text().splitlines())
    return [UnlabelledPicture(Path(path)) for name, path in lines if name == part]


def read_picture(path: Path) -> Tensor:
    """Decoded and upright, uint8 [3, H, W]; a large JPEG scaled down while it is decoded."""
    with Image.open(path) as image:
        image.draft("RGB", (_DECODED_SIDE, _DECODED_SIDE))
        return transforms.pil_to_tensor(ImageOps.exif_transpose(image).convert("RGB"))


@dataclass(frozen=True)
class Normalisation:
    """Of pixels in 0 to 255, [N, 3, H, W], to what the network takes, channels last."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, preprocessing: Mapping[str, Any]) -> "Normalisation":
        """From a checkpoint's preprocessing."""
        return cls(*(255 * torch.tensor(preprocessing[key]).view(1, 3, 1, 1) for key in ("mean", "std")))

    def __call__(self, pixels: Tensor) -> Tensor:
        return ((pixels.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def load_inputs(pictures: Sequence[UnlabelledPicture], preprocessing: Mapping[str, Any], name: str) -> Tensor:
    """What the server would feed to the network, [len(pictures), 3, crop, crop] in float32."""
    preprocess = Preprocess.from_checkpoint(preprocessing)
    progress = tqdm(pictures, desc=f"decode {name}", mininterval=5)
    inputs = torch.cat([torch.from_numpy(preprocess.load(picture.path)) for picture in progress])
    return inputs.contiguous(memory_format=torch.channels_last)
