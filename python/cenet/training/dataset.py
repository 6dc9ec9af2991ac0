"""A folder of pictures per class, and its fixed split into training, validation and test pictures."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


@dataclass(frozen=True)
class Picture:
    path: Path
    label: int


@dataclass(frozen=True)
class Split:
    """Disjoint lists of pictures, each sorted by label and name; `labels[i]` is the folder name of label i."""

    labels: list[str]
    train: list[Picture]
    validation: list[Picture]
    test: list[Picture]


def split_folder(
    root: Path,
    *,
    exclude: Iterable[str] = (),
    seed: int = 0,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.05,
) -> Split:
    """Splits every class by itself, so that all parts hold all classes.

    The split depends on nothing but file names, fractions and `seed`: each class's sorted names are shuffled by a
    generator seeded with the seed and the class name, then the first ones go to the test part and the next ones, a
    fraction of what remains, to the validation part. Each part gets at least one picture of every class.

    Raises:
        ValueError: if there are no class folders, or a class has fewer than three pictures.
    """
    excluded = set(exclude)
    folders = sorted(f for f in root.iterdir() if f.is_dir() and f.name not in excluded) if root.is_dir() else []
    if not folders:
        raise ValueError(f"no class folders in {root}")
    split = Split([folder.name for folder in folders], [], [], [])
    for label, folder in enumerate(folders):
        names = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
        if len(names) < 3:
            raise ValueError(f"class {folder.name} has {len(names)} pictures; a split needs at least 3")
        random.Random(f"{seed}/{folder.name}").shuffle(names)
        tests = min(max(1, round(len(names) * test_fraction)), len(names) - 2)
        validations = min(max(1, round((len(names) - tests) * validation_fraction)), len(names) - tests - 1)
        bounds = (0, tests, tests + validations, len(names))
        for part, start, end in zip((split.test, split.validation, split.train), bounds, bounds[1:], strict=False):
            part.extend(Picture(folder / name, label) for name in sorted(names[start:end]))
    return split


class HasPath(Protocol):
    @property
    def path(self) -> Path: ...


class AnySplit(Protocol):
    """Three lists of pictures."""

    @property
    def train(self) -> Sequence[HasPath]: ...
    @property
    def validation(self) -> Sequence[HasPath]: ...
    @property
    def test(self) -> Sequence[HasPath]: ...


def write_split(split: AnySplit, root: Path, file: Path) -> None:
    """Writes one line a picture, `part<TAB>path`, the path relative to `root`."""
    parts = (("train", split.train), ("validation", split.validation), ("test", split.test))
    lines = [f"{part}\t{picture.path.relative_to(root)}\n" for part, pictures in parts for picture in pictures]
    file.write_text("".join(lines))
