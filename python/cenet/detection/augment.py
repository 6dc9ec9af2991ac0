"""Random changes to pictures with boxes. All randomness comes from torch's global generator."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import functional as transforms

from cenet.detection.pictures import Sample
from cenet.placement import FILL
from cenet.training.augment import jitter_colours


@dataclass(frozen=True)
class BoxAugmentation:
    """Strengths of the random changes.

    Args:
        scale: least and greatest side of the window that is cut out, as a share of the picture's sides; above 1 the
            window is larger than the picture.
        aspect: greatest relative change of the window's aspect ratio.
        horizontal_flip, vertical_flip: probabilities.
        jitter: greatest relative change of brightness, contrast and saturation.
        least_visible: objects of which the window shows a smaller share of the area are left out.
    """

    scale: tuple[float, float] = (0.6, 1.15)
    aspect: float = 0.1
    horizontal_flip: float = 0.5
    vertical_flip: float = 0.5
    jitter: float = 0.2
    least_visible: float = 0.3


def augment(
    samples: Sequence[Sample], size: tuple[int, int], strengths: BoxAugmentation
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Random window, flips and colour jitter.

    Gives float32 pixels [N, 3, height, width] in 0 to 255, and for each picture its boxes in pixels of the input,
    [M, 4], and labels [M].
    """
    changed = [_flip(cut(sample, _random_window(sample, strengths), size, strengths), strengths) for sample in samples]
    pixels = torch.stack([sample.pixels for sample in changed])
    pixels = jitter_colours(pixels.to(torch.float32, memory_format=torch.channels_last), strengths.jitter)
    return pixels, [sample.boxes for sample in changed], [sample.labels for sample in changed]


def _random_window(sample: Sample, strengths: BoxAugmentation) -> tuple[int, int, int, int]:
    """Left, top, width and height in pixels; larger than the picture, the window holds all of it."""
    height, width = sample.pixels.shape[1:]
    low, high = strengths.scale
    share = low + (high - low) * _uniform()
    stretch = (1 + strengths.aspect) ** (2 * _uniform() - 1)
    window = max(1, round(width * share * stretch**0.5)), max(1, round(height * share / stretch**0.5))
    left, top = (round((side - part) * _uniform()) for side, part in zip((width, height), window, strict=True))
    return left, top, *window


def cut(sample: Sample, window: tuple[int, int, int, int], size: tuple[int, int], strengths: BoxAugmentation) -> Sample:
    """What the window (left, top, width, height) shows of the picture, at (height, width) `size`."""
    left, top, width, height = window
    pixels = transforms.resize(_crop(sample.pixels, window), list(size), antialias=True)
    boxes = sample.boxes - torch.tensor([left, top, left, top])
    clipped = torch.minimum(boxes.clamp_min(0), torch.tensor([width, height, width, height]))
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept = (clipped[:, 2:] - clipped[:, :2]).clamp_min(0).prod(1) >= strengths.least_visible * areas
    scale = torch.tensor([size[1] / width, size[0] / height]).repeat(2)
    return Sample(pixels, (clipped * scale)[kept], sample.labels[kept])


def _crop(pixels: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    left, top, width, height = window
    inside = transforms.crop(pixels, max(top, 0), max(left, 0), *_overlap(pixels, window))
    if inside.shape[1:] == (height, width):
        return inside
    canvas = torch.tensor(FILL, dtype=torch.uint8).view(3, 1, 1).repeat(1, height, width)
    y, x = max(-top, 0), max(-left, 0)
    canvas[:, y : y + inside.shape[1], x : x + inside.shape[2]] = inside
    return canvas


def _overlap(pixels: Tensor, window: tuple[int, int, int, int]) -> tuple[int, int]:
    """Height and width of what the window and the picture share."""
    left, top, width, height = window
    return (
        min(top + height, pixels.shape[1]) - max(top, 0),
        min(left + width, pixels.shape[2]) - max(left, 0),
    )


def _flip(sample: Sample, strengths: BoxAugmentation) -> Sample:
    pixels, boxes = sample.pixels, sample.boxes
    height, width = pixels.shape[1:]
    if _uniform() < strengths.horizontal_flip:
        pixels, boxes = pixels.flip(2), boxes[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])
        boxes = boxes + torch.tensor([width, 0, width, 0])
    if _uniform() < strengths.vertical_flip:
        pixels, boxes = pixels.flip(1), boxes[:, [0, 3, 2, 1]] * torch.tensor([1, -1, 1, -1])
        boxes = boxes + torch.tensor([0, height, 0, height])
    return Sample(pixels, boxes, sample.labels)


def _uniform() -> float:
    return torch.rand(()).item()
