"""Pictures from disk to memory (uint8), and from there to a network's input (normalised float32)."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as transforms
from tqdm import tqdm

from cenet.training.dataset import Picture

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def load_resized(picture: Picture, shorter_side: int) -> Image.Image:
    """Decodes to RGB and scales the shorter side to `shorter_side` pixels, bilinear with antialiasing."""
    with Image.open(picture.path) as image:
        return transforms.resize(image.convert("RGB"), [shorter_side])


def evaluation_pixels(picture: Picture, resize: int, crop: int) -> Tensor:
    """What a server feeds to the network, before normalisation: resize, centre crop; uint8 [3, crop, crop]."""
    return transforms.pil_to_tensor(transforms.center_crop(load_resized(picture, resize), [crop, crop]))


def normalise(pixels: Tensor) -> Tensor:
    """Pixels in 0 to 255, [N, 3, H, W] of any type, to float32 of about zero mean and unit variance, channels last."""
    scaled = pixels.to(torch.float32, memory_format=torch.channels_last).div_(255)
    return scaled.sub_(_per_channel(MEAN)).div_(_per_channel(STD))


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def cache_for_evaluation(pictures: Sequence[Picture], resize: int, crop: int, name: str) -> Tensor:
    """All pictures as one uint8 tensor, [len(pictures), 3, crop, crop]."""
    progress = tqdm(pictures, desc=f"decode {name}", mininterval=5)
    return torch.stack([evaluation_pixels(picture, resize, crop) for picture in progress])


def cache_for_training(pictures: Sequence[Picture], shorter_side: int) -> list[Tensor]:
    """Every picture whole, scaled down, as uint8 [3, H, W] in channels-last memory (which resizes fastest)."""
    progress = tqdm(pictures, desc="decode train", mininterval=5)
    return [_channels_last(transforms.pil_to_tensor(load_resized(picture, shorter_side))) for picture in progress]


def _channels_last(pixels: Tensor) -> Tensor:
    return pixels.unsqueeze(0).contiguous(memory_format=torch.channels_last).squeeze(0)


def labels_of(pictures: Sequence[Picture]) -> Tensor:
    """[len(pictures)] int64."""
    return torch.tensor([picture.label for picture in pictures])
