"""Annotated pictures in memory, for training (whole, with their boxes) and for evaluation (at the input's size)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import functional as transforms
from tqdm import tqdm

from cenet.detection.annotations import AnnotatedPicture
from cenet.placement import FitMode, Placement, fit, place


class Sample(NamedTuple):
    """A picture to train on."""

    pixels: Tensor
    """uint8 [3, H, W]"""
    boxes: Tensor
    """x1, y1, x2, y2 in pixels, float32 [M, 4]"""
    labels: Tensor
    """int64 [M]"""


class EvaluationSet(NamedTuple):
    """Pictures at the input's size, and how they came to it."""

    pictures: Sequence[AnnotatedPicture]
    pixels: Tensor
    """uint8 [N, 3, height, width]"""
    placements: list[Placement]


def load_rgb(picture: AnnotatedPicture) -> Image.Image:
    """Upright, as the server sees it."""
    with Image.open(picture.path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def load_samples(pictures: Sequence[AnnotatedPicture], name: str) -> list[Sample]:
    return [_sample(picture) for picture in tqdm(pictures, desc=f"decode {name}", mininterval=5)]


def _sample(picture: AnnotatedPicture) -> Sample:
    trained = [entry for entry in picture.objects if not entry.ignored]
    boxes = torch.tensor([entry.box for entry in trained], dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor([entry.label for entry in trained], dtype=torch.int64)
    return Sample(transforms.pil_to_tensor(load_rgb(picture)), boxes, labels)


def load_for_evaluation(
    pictures: Sequence[AnnotatedPicture], size: tuple[int, int], mode: FitMode, name: str
) -> EvaluationSet:
    """All pictures fitted into (height, width) `size`, bilinear with antialiasing."""
    pixels, placements = [], []
    for picture in tqdm(pictures, desc=f"decode {name}", mininterval=5):
        image = load_rgb(picture)
        placements.append(place(image.size, size, mode))
        pixels.append(transforms.pil_to_tensor(fit(image, size, mode)))
    return EvaluationSet(pictures, torch.stack(pixels), placements)
