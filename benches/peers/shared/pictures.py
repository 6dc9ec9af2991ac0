"""A file becomes a tensor as model.toml says, by Pillow, at the least work that gives the same pixels."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageOps

_ORIENTATION = 0x0112
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# of the widest filter, in pixels of what is resized
_REACH = 3
# from where to where, in pixels
_Part = tuple[float, float]


class Preprocessing:
    """Resize to the shorter side, CenterCrop and normalisation, for RGB in NCHW."""

    def __init__(self, preprocess: dict[str, Any]) -> None:
        """Of the table `preprocess` of a model.toml.

        Raises:
            ValueError: for a way to prepare pictures that peers don't know.
        """
        given = (preprocess["resize"]["mode"], preprocess["color"], preprocess["layout"])
        if given != ("shorter_side", "rgb", "nchw"):
            raise ValueError(f"peers prepare pictures by shorter side, in RGB, as NCHW; not as {given}")
        self.height, self.width = preprocess["size"]
        self.shorter = preprocess["resize"]["to"]
        self.filter = _FILTERS[preprocess["filter"]]
        self.upright = preprocess["exif"] == "apply"
        mean, std = (np.array(preprocess[name])[:, None, None] for name in ("mean", "std"))
        self.scale = (preprocess["rescale"] / std).astype(np.float32)
        self.shift = (-mean / std).astype(np.float32)

    def tensor(self, file: bytes | bytearray | Image.Image) -> np.ndarray:
        """[3, height, width], float32; of a file, or a picture that was opened and not decoded."""
        pixels = np.asarray(self.cropped(file)).transpose(2, 0, 1)
        values = np.multiply(pixels, self.scale, dtype=np.float32, order="C")
        values += self.shift
        return values

    def cropped(self, file: bytes | bytearray | Image.Image) -> Image.Image:
        """Resized and cut at once: only the crop's pixels are computed, as they would be in the whole.

        Up to three in a thousand of their values are off by 1 or 2 of 255: places are rounded otherwise.
        """
        image = self.decoded(file)
        resized = _shorter_side(*image.size, self.shorter)
        if resized[0] < self.width or resized[1] < self.height:
            return self.cut(image.resize(resized, self.filter))
        across, down = (_part(*sizes) for sizes in zip(image.size, resized, (self.width, self.height), strict=True))
        # one axis after the other, as Pillow might choose another order for the part than for the whole
        if _columns_first(image.size, resized):
            image, across = self._near(image, across, 0)
            image = image.resize((image.width, self.height), self.filter, (0, down[0], image.width, down[1]))
            down = (0, self.height)
        else:
            image, down = self._near(image, down, 1)
            image = image.resize((self.width, image.height), self.filter, (across[0], 0, across[1], image.height))
            across = (0, self.width)
        return image.resize((self.width, self.height), self.filter, (across[0], down[0], across[1], down[1]))

    def cut(self, image: Image.Image) -> Image.Image:
        """torchvision's CenterCrop; what the picture lacks is black."""
        left, top = (round((have - want) / 2) for have, want in zip(image.size, (self.width, self.height), strict=True))
        return image.crop((left, top, left + self.width, top + self.height))

    def decoded(self, file: bytes | bytearray | Image.Image) -> Image.Image:
        """Upright and in RGB."""
        image = file if isinstance(file, Image.Image) else Image.open(BytesIO(file))
        if self.upright and image.getexif().get(_ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
        return image if image.mode == "RGB" else image.convert("RGB")

    def _near(
        self, image: Image.Image, part: tuple[float, float], axis: int
    ) -> tuple[Image.Image, tuple[float, float]]:
        """What of the picture is looked at for a part of an axis, and where the part lies in it."""
        reach = _REACH * max(1.0, (part[1] - part[0]) / (self.width, self.height)[axis]) + 1
        first, end = max(0, int(part[0] - reach)), min(image.size[axis], int(part[1] + reach) + 1)
        box = (first, 0, end, image.height) if axis == 0 else (0, first, image.width, end)
        return image.crop(box), (part[0] - first, part[1] - first)


def _part(length: int, resized: int, wanted: int) -> _Part:
    """Where the middle of what is resized lies in the original; torchvision rounds half to even."""
    skipped, scale = round((resized - wanted) / 2), length / resized
    return skipped * scale, min((skipped + wanted) * scale, length)


def _columns_first(size: tuple[int, int], resized: tuple[int, int]) -> bool:
    """Pillow's choice, since version 13."""
    across, down = (before - after for before, after in zip(size, resized, strict=True))
    return down > 0 and down > 2 * across


def _shorter_side(width: int, height: int, shorter: int) -> tuple[int, int]:
    """torchvision's Resize."""
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter
