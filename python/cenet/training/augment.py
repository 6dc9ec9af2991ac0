"""Random changes to training pictures. All randomness comes from torch's global generator."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as transforms

_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the random changes; `jitter` is the greatest relative change of brightness, contrast, saturation."""

    crop_scale: tuple[float, float] = (0.25, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    jitter: float = 0.3
    mixup_alpha: float = 0.2


def augment(pictures: Sequence[Tensor], size: int, strengths: Augmentation) -> Tensor:
    """Random resized crop, horizontal flip and colour jitter: uint8 [3, H, W] each to float32 [N, 3, size, size]."""
    crops = torch.stack([_random_crop(picture, size, strengths) for picture in pictures])
    flipped = torch.rand(len(pictures)) < 0.5
    crops[flipped] = crops[flipped].flip(-1)
    return jitter_colours(crops.to(torch.float32, memory_format=torch.channels_last), strengths.jitter)


def _random_crop(picture: Tensor, size: int, strengths: Augmentation) -> Tensor:
    top, left, height, width = RandomResizedCrop.get_params(
        picture, list(strengths.crop_scale), list(strengths.crop_ratio)
    )
    return transforms.resized_crop(picture, top, left, height, width, [size, size], antialias=True)


def jitter_colours(pixels: Tensor, strength: float) -> Tensor:
    """Scales brightness, contrast about the mean grey and saturation about each pixel's grey; one factor a picture.

    One after another, saturation, contrast and brightness are a weighted sum of pixel, pixel's grey and mean grey.
    Changes `pixels`, [N, 3, H, W], in place.
    """
    brightness, contrast, saturation = 1 + strength * (2 * torch.rand(3, pixels.shape[0], 1, 1, 1) - 1)
    grey = F.conv2d(pixels, torch.tensor(_GREY).view(1, 3, 1, 1))
    mean = grey.mean((2, 3), keepdim=True)
    colourless = grey * (contrast * (1 - saturation)) + mean * (1 - contrast)
    pixels.mul_(brightness * contrast * saturation).add_(colourless * brightness)
    return pixels.clamp_(0, 255)


def mix_up(inputs: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Blends each input [N, ...] and its target probabilities [N, K] with those of another one; alpha 0 leaves both."""
    if alpha == 0:
        return inputs, targets
    # A Beta(alpha, alpha) draw as a ratio of two Gamma draws, from torch's own generator.
    draws = torch._standard_gamma(torch.full((2,), alpha))
    share = (draws[0] / draws.sum()).item()
    other = torch.randperm(inputs.shape[0])
    return inputs.lerp(inputs[other], 1 - share), targets.lerp(targets[other], 1 - share)
