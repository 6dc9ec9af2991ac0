"""GIF: frames within, at and beyond the canvas, tables and codes of all sizes, blocks that lack."""

import struct
from collections.abc import Iterator

import numpy
from make_fixtures import encoded, photo
from torture.case import TOO_LARGE, UNSUPPORTED, Case, cuts

END = b";"


def table(bits: int) -> bytes:
    return numpy.random.default_rng(bits).integers(0, 256, 3 << bits, numpy.uint8).tobytes()


def screen(size: tuple[int, int], bits: int | None = 3, background: int = 0, version: bytes = b"GIF89a") -> bytes:
    """Signature and logical screen with a global table of `2 ** bits` colours, or none."""
    flags = 0x70 if bits is None else 0xF0 | (bits - 1)
    return version + struct.pack("<HHBBB", *size, flags, background, 0) + (b"" if bits is None else table(bits))


def coded(indices: bytes, bits: int) -> bytes:
    """LZW that never needs a longer code: it begins anew in time."""
    clear, codes = 1 << bits, []
    for at, index in enumerate(indices):
        if at % (clear - 2 or 1) == 0:
            codes.append(clear)
        codes.append(index)
    codes.append(clear + 1)
    number, width = 0, bits + 1
    for at, code in enumerate(codes):
        number |= code << (at * width)
    data = number.to_bytes((len(codes) * width + 7) // 8, "little")
    return bytes([bits]) + b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) + b"\0"


def frame(size: tuple[int, int], at: tuple[int, int] = (0, 0), bits: int = 3, own: int | None = None, data: bytes | None = None, flags: int = 0) -> bytes:
    colors = numpy.random.default_rng([*size, bits]).integers(0, 1 << bits, size[0] * size[1], numpy.uint8)
    flags |= 0 if own is None else 0x80 | (own - 1)
    image = b"," + struct.pack("<HHHHB", *at, *size, flags) + (b"" if own is None else table(own))
    return image + (coded(colors.tobytes(), bits) if data is None else data)


def control(transparent: int | None = None, disposal: int = 0) -> bytes:
    return b"!\xf9\x04" + struct.pack("<BHBB", disposal << 2 | (transparent is not None), 5, transparent or 0, 0)


def kinds() -> Iterator[Case]:
    for bits in range(2, 9):
        yield Case(f"gif_{bits}_bits.gif", screen((21, 13), bits) + frame((21, 13), bits=bits) + END)
    for size in [(1, 1), (1, 40), (40, 1), (2, 2), (3, 5), (300, 2)]:
        yield Case(f"gif_{size[0]}x{size[1]}.gif", screen(size) + frame(size) + END)
    yield Case("gif_87a.gif", screen((21, 13), version=b"GIF87a") + frame((21, 13)) + END)
    yield Case("gif_88a.gif", screen((21, 13), version=b"GIF88a") + frame((21, 13)) + END, UNSUPPORTED)
    yield Case("gif_own_table.gif", screen((21, 13), None) + frame((21, 13), own=3) + END)
    yield Case("gif_both_tables.gif", screen((21, 13)) + frame((21, 13), own=4, bits=4) + END)
    yield Case("gif_interlaced.gif", screen((21, 13)) + frame((21, 13), flags=0x40) + END)
    yield Case("gif_comment.gif", screen((21, 13)) + b"!\xfe\x05hello\0" + frame((21, 13)) + END)
    yield Case("gif_loops.gif", screen((21, 13)) + b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0" + frame((21, 13)) + END)
    yield Case("gif_own_extension.gif", screen((21, 13)) + b"!\x77\x03abc\0" + frame((21, 13)) + END)
    for disposal in range(4):
        parts = control(2, disposal) + frame((21, 13)) + control(1, disposal) + frame((9, 5), (3, 4))
        yield Case(f"gif_animated_disposal_{disposal}.gif", screen((21, 13)) + parts + END)
    for background in (0, 5, 200):
        yield Case(f"gif_transparent_background_{background}.gif", screen((21, 13), 3, background) + control(4) + frame((21, 13)) + END)
    yield Case("gif_transparent_beyond_table.gif", screen((21, 13)) + control(200) + frame((21, 13)) + END)
    yield Case("gif_photo.gif", encoded(photo("coffee", (60, 45)).quantize(256), "GIF"))


def frames() -> Iterator[Case]:
    canvas = screen((21, 13))
    for name, size, at in [("smaller", (9, 5), (0, 0)), ("inside", (9, 5), (4, 3)), ("corner", (9, 5), (12, 8)), ("wider", (30, 13), (0, 0)), ("taller", (21, 30), (0, 0)), ("over_edge", (9, 5), (17, 11)), ("outside", (9, 5), (40, 40)), ("far", (9, 5), (900, 900))]:
        yield Case(f"gif_frame_{name}.gif", canvas + frame(size, at) + END)
        yield Case(f"gif_frame_{name}_transparent.gif", canvas + control(3) + frame(size, at) + END)
    for name, size in [("none", (0, 0)), ("no_width", (0, 5)), ("no_height", (5, 0))]:
        yield Case(f"gif_frame_{name}.gif", canvas + frame(size) + END)
    yield Case("gif_canvas_none.gif", screen((0, 0)) + frame((9, 5)) + END)
    yield Case("gif_huge_canvas.gif", screen((65535, 65535)) + frame((9, 5)) + END, TOO_LARGE, "refused", "more than the server's limit")
    yield Case("gif_huge_frame.gif", canvas + frame((9, 5))[:5] + struct.pack("<HH", 65535, 65535) + frame((9, 5))[9:] + END, "image_too_large|invalid_image", "refused", "more than the server's limit")
    yield Case("gif_second_frame_huge.gif", canvas + frame((21, 13)) + frame((9, 5))[:5] + struct.pack("<HH", 65535, 65535) + frame((9, 5))[9:] + END)


def damage() -> Iterator[Case]:
    canvas, whole = screen((21, 13)), frame((21, 13))
    yield Case("gif_without_table.gif", screen((21, 13), None) + whole + END, outcome="refused", why="there are no colours")
    yield Case("gif_without_frame.gif", canvas + END)
    yield Case("gif_without_end.gif", canvas + whole)
    yield Case("gif_trailing.gif", canvas + whole + END + b"none of our business" * 40)
    yield Case("gif_index_beyond_table.gif", screen((21, 13), 2) + frame((21, 13), bits=4) + END)
    for bits in (0, 9, 12, 13, 255):
        yield Case(f"gif_codes_of_{bits}_bits.gif", canvas + frame((21, 13), data=bytes([bits]) + coded(bytes(273), 3)[1:]) + END, outcome="refused", why="codes of 2 to 8 bits are GIF's")
    short = coded(bytes(100), 3)
    yield Case("gif_pixels_missing.gif", canvas + frame((21, 13), data=short) + END, outcome="refused", why="what is cut off is never answered")
    yield Case("gif_pixels_too_many.gif", canvas + frame((21, 13), data=coded(bytes(900), 3)) + END)
    yield Case("gif_no_pixels.gif", canvas + frame((21, 13), data=b"\x03\0") + END, outcome="refused", why="what is cut off is never answered")
    yield Case("gif_code_of_nothing.gif", canvas + frame((21, 13), data=b"\x03\x02\xff\xff\0") + END)
    yield Case("gif_unknown_block.gif", canvas + b"X" + whole + END, outcome="refused", why="what is damaged is never answered")
    yield Case("gif_zeros_between.gif", canvas + bytes(9) + whole + END, outcome="refused", why="what is damaged is never answered")
    data = encoded(photo("coffee", (40, 30)).quantize(64), "GIF")
    yield from cuts("gif.gif", data, [3, 6, 10, 13, 20, 13 + 192, 13 + 195, 13 + 200, 13 + 204, *(len(data) * part // 10 for part in range(3, 10))], refused="invalid_image|unsupported_image", outcome="refused", why="what is cut off is never answered")


def cases() -> Iterator[Case]:
    for part in (kinds, frames, damage):
        yield from part()
