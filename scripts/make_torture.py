#!/usr/bin/env python3
"""Draws hostile and odd pictures, with what is to become of each.

    make_torture.py FOLDER

Writes the pictures into FOLDER, for each that is to be decoded `decoded/NAME.png`, what Pillow's
`ImageOps.exif_transpose(Image.open(f)).convert("RGB")` gives, and last `manifest.json`: for each its code where it is to be refused, and
why where Pillow would take it. The photos are those of `make_fixtures.py`.
"""

import json
import sys
import warnings
from pathlib import Path

from make_fixtures import reference
from PIL import Image, ImageFile
from torture import bmp, gif, jpeg, png, tiff, webp
from torture.case import Case

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


def main(folder: Path) -> None:
    (folder / "decoded").mkdir(parents=True, exist_ok=True)
    entries, seen = [], set()
    for case in (case for room in (png, jpeg, gif, bmp, tiff, webp) for case in room.cases()):
        if case.name in seen:
            sys.exit(f"{case.name}: drawn twice")
        seen.add(case.name)
        (folder / case.name).write_bytes(case.data)
        entries.append(entry(case, folder))
    decoded = sum(1 for one in entries if not one["refused"])
    (folder / "manifest.json").write_text(json.dumps({"pillow": Image.__version__, "pictures": entries}, indent=1))
    print(f"{len(entries)} pictures in {folder}, {decoded} to be decoded")


def entry(case: Case, folder: Path) -> dict:
    expected = None
    if case.outcome == "pillow":
        expected = pillow(case.data)
    elif case.outcome == "decoded":
        expected = pillow(case.pixels_of)
    if expected is not None:
        # what else the file says isn't for the copy
        expected.info.clear()
        expected.save(folder / "decoded" / f"{case.name}.png", compress_level=1)
    refused = [] if expected is not None else case.refused.split("|")
    return {"file": case.name, "refused": refused, "why": case.why}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
