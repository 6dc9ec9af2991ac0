"""A picture, and what is to become of it."""

from typing import NamedTuple

# the server's codes for pictures that it refuses
DAMAGED = "invalid_image"
UNSUPPORTED = "unsupported_image"
TOO_LARGE = "image_too_large"


class Case(NamedTuple):
    """A picture. What becomes of it is what Pillow makes of it, unless `outcome` says otherwise, for the reason `why`."""

    name: str
    data: bytes
    # what it is refused with, whether it is that Pillow can't read it either or that we don't want to
    refused: str = DAMAGED
    # one of "pillow", "refused" and "decoded": the last is for what Pillow refuses, and is held against `pixels_of`
    outcome: str = "pillow"
    why: str = ""
    # a file that holds the same pixels and that Pillow reads
    pixels_of: bytes | None = None


def cuts(name: str, data: bytes, places: list[int], **options) -> list[Case]:
    """`data` cut off at each of `places`."""
    stem, ending = name.rsplit(".", 1)
    return [Case(f"{stem}_cut_at_{place}.{ending}", data[:place], **options) for place in sorted(set(places))]
