"""Where a picture lies in an input of fixed size: stretched or letterboxed, as the server does it."""

from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

FitMode = Literal["stretch", "letterbox"]
FIT_MODES = ("stretch", "letterbox")
# Colour around a letterboxed picture.
FILL = (114, 114, 114)


@dataclass(frozen=True)
class Placement:
    """A picture of `picture` pixels, resized to `inner`, its corner at `offset`; x first in all three."""

    picture: tuple[int, int]
    inner: tuple[int, int]
    offset: tuple[int, int]

    def to_input(self, boxes: Tensor) -> Tensor:
        """x1, y1, x2, y2 in pixels of the picture to pixels of the input, [M, 4]."""
        return boxes * self._scale() + torch.tensor(self.offset * 2)

    def to_picture(self, boxes: Tensor) -> Tensor:
        """The way back, cut off at the picture's sides."""
        boxes = (boxes - torch.tensor(self.offset * 2)) / self._scale()
        return torch.minimum(boxes.clamp_min(0), torch.tensor(self.picture * 2, dtype=boxes.dtype))

    def _scale(self) -> Tensor:
        return torch.tensor([inner / side for inner, side in zip(self.inner, self.picture, strict=True)]).repeat(2)


def place(picture: tuple[int, int], size: tuple[int, int], mode: FitMode) -> Placement:
    """How a picture of (width, height) pixels fits into an input of `size` (height, width).

    Letterboxed, it is as large as fits and lies in the middle; an odd pixel of the rest goes right and below.
    """
    height, width = size
    if mode == "stretch":
        return Placement(picture, (width, height), (0, 0))
    scale = min(width / picture[0], height / picture[1])
    inner = tuple(max(1, round(side * scale)) for side in picture)
    return Placement(picture, inner, ((width - inner[0]) // 2, (height - inner[1]) // 2))


def fit(
    image: Image.Image, size: tuple[int, int], mode: FitMode, filter: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    """The RGB picture `image` at (height, width) `size`."""
    placement = place(image.size, size, mode)
    resized = image.resize(placement.inner, filter)
    if mode == "stretch":
        return resized
    canvas = Image.new("RGB", (size[1], size[0]), FILL)
    canvas.paste(resized, placement.offset)
    return canvas
