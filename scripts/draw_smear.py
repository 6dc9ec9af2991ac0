#!/usr/bin/env python3
"""Draws a blood smear as a microscope shows it: red cells, a white cell, platelets. No photo is used.

    draw_smear.py FILE.jpg

needs numpy and Pillow, as scripts/fixtures/requirements.lock pins them. The README shows what the shipped detector makes of it.
"""

import sys

import numpy
from PIL import Image

WIDTH, HEIGHT = 640, 480
PLASMA = (203, 208, 203)
# Centre and radius in pixels.
RED_CELLS = [
    (66, 84, 53), (199, 66, 50), (408, 62, 52), (531, 112, 54), (88, 214, 51), (610, 243, 53),
    (62, 392, 54), (196, 394, 51), (306, 421, 53), (480, 322, 54), (577, 424, 50),
]  # fmt: skip
WHITE_CELL = (318, 226, 86)
# Each lobe of its nucleus, from the cell's centre.
LOBES = [(-26, -22, 36), (16, -36, 32), (34, 4, 34), (4, 30, 30)]
PLATELETS = [(186, 168, 15), (446, 206, 17), (134, 292, 14), (418, 432, 16)]

random = numpy.random.default_rng(11)
rows, columns = numpy.mgrid[:HEIGHT, :WIDTH].astype(float)


def blurred(values: numpy.ndarray, sigma: float) -> numpy.ndarray:
    """Blurred by a Gaussian, an axis after the other."""
    reach = int(3 * sigma) + 1
    kernel = numpy.exp(-0.5 * (numpy.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padding = [(reach, reach) if axis == other else (0, 0) for other in range(values.ndim)]
        padded = numpy.pad(values, padding, mode="reflect")
        values = numpy.apply_along_axis(numpy.convolve, axis, padded, kernel, mode="valid")
    return values


def cloud(sigma: float) -> numpy.ndarray:
    """Smooth noise with a deviation of 1."""
    noise = blurred(random.standard_normal((HEIGHT, WIDTH)), sigma)
    return noise / noise.std()


def distance(x: float, y: float, radius: float, wobble: float) -> numpy.ndarray:
    """How far each pixel is from a round shape's centre, 1 at its uneven edge."""
    angle = numpy.arctan2(rows - y, columns - x)
    edge = numpy.full_like(angle, radius)
    for order in range(2, 6):
        edge += radius * wobble / order * random.standard_normal() * numpy.cos(order * angle + random.uniform(0, 6.3))
    return numpy.hypot(columns - x, rows - y) / edge


def inside(distances: numpy.ndarray, softness: float) -> numpy.ndarray:
    """1 inside of a shape and 0 outside."""
    return 1 / (1 + numpy.exp((distances - 1) / softness))


def paint(picture: numpy.ndarray, share: numpy.ndarray, color: tuple[float, ...] | numpy.ndarray) -> None:
    picture += share[..., None] * (numpy.asarray(color, float) - picture)


def red_cell(picture: numpy.ndarray, x: float, y: float, radius: float) -> None:
    """A disc that is thinner, and so paler, in its middle."""
    distances = distance(x, y, radius, 0.06)
    tone = numpy.array((186, 146, 142)) + random.normal(0, 3, 3)
    paint(picture, 0.95 * inside(distances, 0.025), tone)
    rim = numpy.exp(-(((distances - 0.93) / 0.07) ** 2))
    paint(picture, 0.35 * rim, (150, 112, 122))
    pallor = distance(x + random.normal(0, 3), y + random.normal(0, 3), radius * random.uniform(0.4, 0.52), 0.1)
    paint(picture, 0.75 * inside(pallor, 0.22), (212, 194, 188))


def white_cell(picture: numpy.ndarray, x: float, y: float, radius: float) -> None:
    """Pale, grainy, with a dark nucleus of several lobes."""
    body = inside(distance(x, y, radius, 0.06), 0.03)
    grain = cloud(1.3)[..., None] * (7, 9, 4)
    paint(picture, 0.9 * body, numpy.array((196, 178, 204)) + grain)
    nucleus = numpy.zeros_like(body)
    for left, down, lobe in LOBES:
        nucleus = numpy.maximum(nucleus, inside(distance(x + left, y + down, lobe, 0.1), 0.05))
    chromatin = (cloud(4) + 0.5 * cloud(1.5))[..., None] * (11, 11, 9)
    paint(picture, 0.95 * nucleus, numpy.array((104, 88, 184)) + chromatin)


def platelet(picture: numpy.ndarray, x: float, y: float, radius: float) -> None:
    shape = inside(distance(x, y, radius, 0.18), 0.1)
    paint(picture, 0.75 * shape, numpy.array((140, 128, 190)) + cloud(1.6)[..., None] * 14)


def smear() -> Image.Image:
    picture = numpy.empty((HEIGHT, WIDTH, 3))
    picture[:] = PLASMA
    picture += cloud(60)[..., None] * 2
    for cell in RED_CELLS:
        red_cell(picture, *cell)
    white_cell(picture, *WHITE_CELL)
    for cell in PLATELETS:
        platelet(picture, *cell)
    picture = blurred(picture, 1.1)
    light = 1 - 0.06 * numpy.hypot(columns / WIDTH - 0.5, rows / HEIGHT - 0.5) ** 2 * 2
    picture = picture * light[..., None] + cloud(0.7)[..., None] * 1.5 + random.normal(0, 1.2, picture.shape)
    return Image.fromarray(picture.round().clip(0, 255).astype(numpy.uint8))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    smear().save(sys.argv[1], quality=88)
