"""A small VOC data set of drawn discs and squares."""

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, ImageDraw

_OBJECT = (
    "<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def draw_voc(root: Path, parts: Mapping[str, int]) -> None:
    """`parts` maps an image set to its number of pictures, of 96 x 64 pixels with a disc and a square each."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for part, count in parts.items():
        names = [f"{part}_{index}" for index in range(count)]
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            _draw_picture(root, name, generator)


def _draw_picture(root: Path, name: str, generator: torch.Generator) -> None:
    image = Image.new("RGB", (96, 64), (90, 100, 110))
    draw, objects = ImageDraw.Draw(image), []
    for left, label in ((0, "disc"), (48, "square")):
        x, y, side = (
            torch.randint(low, high, (), generator=generator).item() for low, high in ((2, 18), (2, 30), (16, 28))
        )
        box = (left + x, y, left + x + side, y + side)
        corners = (box[0], box[1], box[2] - 1, box[3] - 1)
        if label == "disc":
            draw.ellipse(corners, fill=(240, 60, 50))
        else:
            draw.rectangle(corners, fill=(50, 60, 240))
        objects.append(_OBJECT.format(*box, name=label))
    image.save(root / "JPEGImages" / f"{name}.jpg", quality=95)
    (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{''.join(objects)}</annotation>")
