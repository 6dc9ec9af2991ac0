"""From a picture to a network's input, as `model.toml` declares it and the server does it: Pillow's resize, in RGB."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cenet.export.errors import ExportError
from cenet.placement import FILL, fit

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# What the server takes where `[preprocess]` leaves it out.
_DEFAULTS = {
    "filter": "bilinear",
    "color": "rgb",
    "layout": "nchw",
    "rescale": 1 / 255,
    "exif": "apply",
    "alpha": "drop",
}


@dataclass(frozen=True)
class Preprocess:
    """The defaults are torchvision's for ImageNet networks.

    Args:
        size: height and width of the input, in pixels.
        resize_to: length of the picture's shorter side before the centre is cut out, in pixels; None stretches the
            picture straight to `size`, or letterboxes it.
        letterbox: with `resize_to` None, keep the aspect ratio and fill the rest.
        filter: "nearest", "bilinear", "bicubic" or "lanczos".
        mean, std: for red, green and blue, of pixels in 0 to 1.

    Raises:
        ExportError: for values that no picture could be preprocessed with.
    """

    size: tuple[int, int] = (224, 224)
    resize_to: int | None = 256
    filter: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    letterbox: bool = False

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ExportError(f"size must be a height and a width of at least 1 pixel, got {self.size}")
        if self.resize_to is not None and self.resize_to < max(self.size):
            raise ExportError(f"a shorter side of {self.resize_to} pixels has no centre of {self.size} to cut out")
        if self.resize_to is not None and self.letterbox:
            raise ExportError("a letterboxed picture has no shorter side to resize to: resize_to must be None")
        if self.filter not in _FILTERS:
            raise ExportError(f"unknown filter {self.filter!r}; known: {', '.join(_FILTERS)}")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(np.isfinite(self.mean)):
            raise ExportError(f"mean and std must be three numbers each, got {self.mean} and {self.std}")
        if not all(np.isfinite(self.std)) or min(self.std) <= 0:
            raise ExportError(f"std must be positive, got {self.std}")

    @classmethod
    def from_checkpoint(cls, declared: Mapping[str, Any]) -> "Preprocess":
        """From what a training checkpoint declares: `resize` and `crop`, or `size` and `fit`; mean, std, filter."""
        filter = declared.get("filter", "bilinear")
        if "fit" in declared:
            return cls(
                tuple(declared["size"]),
                None,
                filter,
                mean=tuple(declared["mean"]),
                std=tuple(declared["std"]),
                letterbox=declared["fit"] == "letterbox",
            )
        crop = int(declared["crop"])
        return cls((crop, crop), int(declared["resize"]), filter, tuple(declared["mean"]), tuple(declared["std"]))

    @classmethod
    def from_manifest(cls, table: Mapping[str, Any]) -> "Preprocess":
        """From the `[preprocess]` table of `model.toml`, with the server's defaults for what is left out.

        Raises:
            ExportError: if it asks for anything else.
        """
        table = _DEFAULTS | {key: value for key, value in table.items() if (key, value) != ("sixteen_bit", "pillow")}
        try:
            resize = table["resize"]
            found = cls(
                tuple(table["size"]),
                resize.get("to"),
                table["filter"],
                tuple(table["mean"]),
                tuple(table["std"]),
                resize["mode"] == "letterbox",
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ExportError(f"[preprocess] is not as docs/model-directory.md has it: {error!r}") from error
        written = found.to_manifest(table["input"])
        other = sorted(key for key in {*table, *written} if table.get(key) != written.get(key))
        if other:
            raise ExportError(f"[preprocess] asks for what this package doesn't do: {', '.join(other)}")
        return found

    def to_manifest(self, input_name: str) -> dict[str, Any]:
        """The `[preprocess]` table of `model.toml`."""
        return {
            "input": input_name,
            "size": list(self.size),
            "resize": self._resize_rule(),
            **_DEFAULTS,
            "filter": self.filter,
            "mean": [float(value) for value in self.mean],
            "std": [float(value) for value in self.std],
        }

    def _resize_rule(self) -> dict[str, Any]:
        if self.resize_to is not None:
            return {"mode": "shorter_side", "to": self.resize_to}
        return {"mode": "letterbox", "align": "center", "fill": list(FILL)} if self.letterbox else {"mode": "stretch"}

    def load(self, file: str | PathLike[str]) -> np.ndarray:
        """The picture in `file` as an input, float32 [1, 3, height, width].

        Raises:
            ExportError: if it can't be read as a picture.
        """
        try:
            with Image.open(file) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise ExportError(f"can't read the picture {file}: {error}") from error
        pixels = np.asarray(self._resize(upright), dtype=np.float32) * np.float32(1 / 255)
        normalised = (pixels - np.float32(self.mean)) / np.float32(self.std)
        return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])

    def _resize(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        if self.resize_to is None:
            return fit(image, self.size, "letterbox" if self.letterbox else "stretch", _FILTERS[self.filter])
        shorter = min(image.size)
        # torchvision's rounding: the longer side is cut off, the crop's corner goes to the nearest even number.
        scaled = tuple(int(self.resize_to * side / shorter) for side in image.size)
        image = image.resize(scaled, _FILTERS[self.filter])
        left, top = round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)
        return image.crop((left, top, left + width, top + height))
