"""Orientation wherever a file may tell it: whole and damaged EXIF, XMP, and which of them counts."""

import struct
from collections.abc import Iterator

from make_fixtures import encoded, photo, png_chunk
from torture.case import Case
from torture.jpeg import behind_start, segment
from torture.webp import chunk, extended, riff

TAG, SHORT, LONG, DOUBLE, UNKNOWN = 0x0112, 3, 4, 12, 99
SIZE = (30, 20)
HAS_XMP, HAS_EXIF = 4, 8
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"


def exif(value: int, little=False, kind=SHORT, count=1, offset=8, entries=1, magic=42) -> bytes:
    """A directory whose one entry is the orientation."""
    order = "<" if little else ">"
    field = struct.pack(order + "HH", value, 0) if kind == SHORT else struct.pack(order + "I", value)
    head = (b"II" if little else b"MM") + struct.pack(order + "HI", magic, offset)
    return head + struct.pack(order + "HHHI", entries, TAG, kind, count) + field + bytes(4)


def xmp(value: int, element: bool = False) -> bytes:
    said = b"><tiff:Orientation>%d</tiff:Orientation></x:xmpmeta>" if element else b' tiff:Orientation="%d"/>'
    return b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"' + said % value


ENTRY = exif(6)[10:22]
VARIANTS = {
    "little": exif(6, little=True),
    "cut_in_head": exif(6)[:6],
    "cut_in_directory": exif(6)[:14],
    "cut_in_value": exif(6)[:19],
    "offset_outside": exif(6, offset=4000),
    "offset_in_head": exif(6, offset=0),
    "entries_lying": exif(6, entries=65535),
    "no_entries": exif(6, entries=0),
    "count_0": exif(6, count=0),
    "count_2": exif(6, count=2),
    "count_4": exif(6, count=4),
    "count_largest": exif(6, count=2**32 - 1),
    "long": exif(6, kind=LONG),
    "long_little": exif(6, kind=LONG, little=True),
    "long_large": exif(6 << 16, kind=LONG),
    "double": exif(6, kind=DOUBLE),
    "unknown_kind": exif(6, kind=UNKNOWN),
    "unknown_kind_first": exif(6, entries=2)[:10] + exif(6, kind=UNKNOWN)[10:22] + ENTRY + bytes(4),
    "twice": exif(6, entries=2)[:22] + exif(3)[10:],
    "prefixed": b"Exif\0\0" + exif(6),
    "second_directory": b"MM\0*\0\0\0\x08\0\0\0\0\0\x0e" + exif(6)[8:],
}


def carriers(name: str, told: bytes, text: bytes | None = None) -> Iterator[Case]:
    """The same in a PNG, a JPEG and a WebP; `text` is XMP beside it."""
    image = photo("chelsea", SIZE)
    plain = encoded(image, "PNG")
    # behind signature and head, and behind the data
    for place, at in {"": 33, "_behind": len(plain) - 12}.items():
        parts = png_chunk(b"eXIf", told) if told else b""
        parts += png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text) if text else b""
        yield Case(f"png_told_{name}{place}.png", plain[:at] + parts + plain[at:], **unread(name, plain))
    segments = [segment(0xE1, b"Exif\0\0" + told)] if told else []
    segments += [segment(0xE1, XMP_NAME + text)] if text else []
    yield Case(f"jpeg_told_{name}.jpg", behind_start(encoded(image, "JPEG"), *segments))
    flags = (HAS_EXIF if told else 0) | (HAS_XMP if text else 0)
    for kind, options in {"lossless": {"lossless": True}, "lossy": {"quality": 70}}.items():
        parts = [chunk(b"EXIF", told)] if told else []
        parts += [chunk(b"XMP ", text)] if text else []
        data = encoded(image, "WEBP", **options)[12:]
        yield Case(f"webp_{kind}_told_{name}.webp", riff(extended(flags, SIZE), data, *parts), **unread(name, riff(data)))


def unread(name: str, plain: bytes) -> dict:
    """The rule for what Pillow fails at, outside of JPEG."""
    if name != "cut_in_head":
        return {}
    return {"outcome": "decoded", "why": "an orientation that can't be read is none", "pixels_of": plain}


def others() -> Iterator[Case]:
    image = photo("chelsea", SIZE)
    jpeg = encoded(image, "JPEG")
    six, three = (segment(0xE1, b"Exif\0\0" + exif(value)) for value in (6, 3))
    yield Case("jpeg_told_twice_over.jpg", behind_start(jpeg, six, three))
    yield Case("jpeg_told_in_another_segment.jpg", behind_start(jpeg, segment(0xE2, b"Exif\0\0" + exif(6))))
    yield Case("jpeg_told_with_one_zero.jpg", behind_start(jpeg, segment(0xE1, b"Exif\0" + exif(6))))
    data = encoded(image, "WEBP", lossless=True)[12:]
    yield Case("webp_told_unannounced.webp", riff(extended(0, SIZE), data, chunk(b"EXIF", exif(6))))
    yield Case("webp_told_without_head.webp", riff(data, chunk(b"EXIF", exif(6))))
    yield Case("webp_told_before.webp", riff(extended(HAS_EXIF, SIZE), chunk(b"EXIF", exif(6)), data))
    yield Case("webp_told_not_at_all.webp", riff(extended(HAS_EXIF, SIZE), data))
    png = encoded(image, "PNG")
    raw = b"\nexif\n%8d\n%s\n" % (len(exif(8)) + 6, (b"Exif\0\0" + exif(8)).hex().encode())
    text = png_chunk(b"tEXt", b"Raw profile type exif\0" + raw)
    yield Case("png_told_in_hexadecimal.png", png[:33] + text + png[33:], outcome="decoded", why="that is how programs wrote before there was a chunk for it", pixels_of=png)


def cases() -> Iterator[Case]:
    for name, told in VARIANTS.items():
        yield from carriers(name, told)
    yield from carriers("in_xmp", b"", xmp(6))
    yield from carriers("in_element_of_xmp", b"", xmp(8, element=True))
    yield from carriers("in_xmp_lying", b"", xmp(9))
    yield from carriers("in_both", exif(3), xmp(6))
    yield from carriers("in_xmp_beside_empty", exif(6, entries=0), xmp(6))
    yield from others()
