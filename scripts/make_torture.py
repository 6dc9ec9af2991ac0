#!/usr/bin/env python3
"""Draws hostile and odd pictures, with what is to become of each.

    make_torture.py FOLDER

Writes the pictures into FOLDER, for each that is to be decoded `decoded/NAME.png`, what Pillow's
`ImageOps.exif_transpose(Image.open(f)).convert("RGB")` gives, and last `manifest.json`: for each its code where it is to be refused, and
why where Pillow would take it. The photos are those of `make_fixtures.py`.

libjpeg-turbo's vector code saturates where its plain code, which a processor without such instructions or a build without nasm runs, wraps
around: in damaged files. Where the two differ, `decoded/NAME.plain.png` is what Pillow gives with the plain code.
"""

import json
import multiprocessing
import os
import sys
import warnings
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

from make_fixtures import reference
from PIL import Image, ImageFile
from torture import (
    bmp,
    bmp_heads,
    exif,
    gif,
    gif_blocks,
    jpeg,
    jpeg_codings,
    png,
    png_places,
    tiff,
    tiff_layouts,
    webp,
    webp_chunks,
)
from torture.case import Case

ROOMS = (png, png_places, jpeg, jpeg_codings, gif, gif_blocks, bmp, bmp_heads, tiff, tiff_layouts, webp, webp_chunks, exif)

# we have limits of our own; what is cut off is refused
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False


def pillow(data: bytes) -> Image.Image | None:
    """The picture, where Pillow reads it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return reference(data)
    # whatever a decoder raises
    except Exception:
        return None


def plain_code() -> Executor:
    """A process in which libjpeg-turbo, which asks once, runs its plain code."""
    spawned = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, spawned, os.putenv, ("JSIMD_FORCENONE", "1"))


def main(folder: Path) -> None:
    (folder / "decoded").mkdir(parents=True, exist_ok=True)
    entries, seen = [], set()
    with plain_code() as plain:
        for case in (case for room in ROOMS for case in room.cases()):
            if case.name in seen:
                sys.exit(f"{case.name}: drawn twice")
            seen.add(case.name)
            (folder / case.name).write_bytes(case.data)
            entries.append(entry(case, folder, plain))
    decoded = sum(1 for one in entries if not one["refused"])
    (folder / "manifest.json").write_text(json.dumps({"pillow": Image.__version__, "pictures": entries}, indent=1))
    print(f"{len(entries)} pictures in {folder}, {decoded} to be decoded")


def entry(case: Case, folder: Path, plain: Executor) -> dict:
    expected = None
    if case.outcome == "pillow":
        expected = pillow(case.data)
        if expected is not None and expected.tobytes() != (other := plain.submit(pillow, case.data).result()).tobytes():
            save(other, folder / "decoded" / f"{case.name}.plain.png")
    elif case.outcome == "decoded":
        expected = pillow(case.pixels_of)
    if expected is not None:
        save(expected, folder / "decoded" / f"{case.name}.png")
    refused = [] if expected is not None else case.refused.split("|")
    return {"file": case.name, "refused": refused, "why": case.why}


def save(picture: Image.Image, path: Path) -> None:
    # what else the file says isn't for the copy
    picture.info.clear()
    picture.save(path, compress_level=1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
