"""BMP: every depth, header and packing, upside down or not, with heads that lie."""

import struct
from collections.abc import Iterator

import numpy
from make_fixtures import encoded, photo
from PIL import Image
from torture.case import TOO_LARGE, UNSUPPORTED, Case, cuts


def bitmap(bits: int, size: tuple[int, int] = (13, 9), *, compression: int = 0, down: bool = False, colors: int | None = None, masks: bytes = b"", data: bytes | None = None, head: int = 40, entries: int | None = None, planes: int = 1) -> bytes:
    """A file; `colors` entries of a palette are written, `entries` are told."""
    width, height = size
    stride = (width * bits + 31) // 32 * 4
    if data is None:
        data = numpy.random.default_rng([bits, width, height]).integers(0, 256, stride * height, numpy.uint8).tobytes()
    colors = (1 << bits if bits <= 8 else 0) if colors is None else colors
    if head == 12:
        told = struct.pack("<IHHHH", 12, width, height, planes, bits)
        palette = numpy.random.default_rng(bits).integers(0, 256, 3 * colors, numpy.uint8).tobytes()
    else:
        told = struct.pack("<IiiHHIIiiII", head, width, -height if down else height, planes, bits, compression, len(data), 2835, 2835, colors if entries is None else entries, 0)
        told += masks + bytes(max(0, head - 40 - len(masks))) if head > 40 else masks
        palette = numpy.random.default_rng(bits).integers(0, 256, (colors, 4), numpy.uint8)
        palette[:, 3] = 0
        palette = palette.tobytes()
    offset = 14 + len(told) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + told + palette + data


def kinds() -> Iterator[Case]:
    for bits in (1, 4, 8, 16, 24, 32):
        for down in (False, True):
            for size in [(13, 9), (1, 1), (32, 3)]:
                yield Case(f"bmp_{bits}_{size[0]}x{size[1]}{'_down' if down else ''}.bmp", bitmap(bits, size, down=down))
    for bits in (1, 4, 8, 24):
        yield Case(f"bmp_core_{bits}.bmp", bitmap(bits, head=12))
    for head in (108, 124):
        yield Case(f"bmp_head_{head}.bmp", bitmap(24, head=head))
    for name, bits, masks in [("565", 16, (0xF800, 0x07E0, 0x1F)), ("555", 16, (0x7C00, 0x03E0, 0x1F)), ("bgr", 32, (0xFF0000, 0xFF00, 0xFF))]:
        yield Case(f"bmp_masks_{name}.bmp", bitmap(bits, compression=3, masks=struct.pack("<III", *masks)))
    for name, places in [("rgb", (0, 1, 2)), ("overlapping", (0, 0, 0))]:
        masks = struct.pack("<III", *(0xFF << 8 * place for place in places))
        stored = numpy.random.default_rng([32, 13, 9]).integers(0, 256, 13 * 9 * 4, numpy.uint8).reshape(9, 13, 4)
        pixels = encoded(Image.fromarray(numpy.ascontiguousarray(stored[::-1, :, places])), "PNG")
        yield Case(f"bmp_masks_{name}.bmp", bitmap(32, compression=3, masks=masks), outcome="decoded", why="any masks of eight bits are read", pixels_of=pixels)
    for name, masks in [("none", (0, 0, 0)), ("holes", (0xF0F0, 0x0F0F, 0xFF0000))]:
        yield Case(f"bmp_masks_{name}.bmp", bitmap(32, compression=3, masks=struct.pack("<III", *masks)), UNSUPPORTED + "|invalid_image", "refused", "a mask is one run of bits")
    yield Case("bmp_photo.bmp", encoded(photo("coffee", (40, 30)), "BMP"))
    yield Case("bmp_few_colors.bmp", bitmap(8, colors=256, entries=256))
    yield Case("bmp_palette_of_three.bmp", bitmap(8, colors=3, entries=3, data=bytes([0, 1, 2, 1] * 36)))


def runs() -> Iterator[Case]:
    line = b"\x0d\x05\0\0"
    for name, bits, compression, data in [
        ("8", 8, 1, line * 9 + b"\0\1"),
        ("4", 4, 2, line * 9 + b"\0\1"),
        ("8_literal", 8, 1, (b"\0\x0d" + bytes(range(13)) + b"\0\0\0") * 9 + b"\0\1"),
    ]:
        yield Case(f"bmp_runs_{name}.bmp", bitmap(bits, compression=compression, data=data))
    for name, data in [("delta", line * 3 + b"\0\2\4\2" + b"\4\7\0\0" + b"\0\1"), ("end_early", line * 3 + b"\0\1"), ("rows_end_early", b"\5\5\0\0" * 9 + b"\0\1"), ("delta_beyond", b"\0\2\xff\xff\5\5\0\1")]:
        yield Case(f"bmp_runs_{name}.bmp", bitmap(8, compression=1, data=data), outcome="refused", why="pixels are left out")
    for name, data in [("too_long", b"\xff\5\0\0" * 9 + b"\0\1"), ("without_end", line * 9), ("cut", line * 4 + b"\0\x0d\1"), ("nothing", b"")]:
        yield Case(f"bmp_runs_{name}.bmp", bitmap(8, compression=1, data=data))


def lies() -> Iterator[Case]:
    plain = bitmap(24)
    for name, size in [("zero_width", (0, 9)), ("zero_height", (13, 0))]:
        yield Case(f"bmp_{name}.bmp", plain[:18] + struct.pack("<ii", *size) + plain[26:], UNSUPPORTED + "|invalid_image")
    for name, size in [("negative_width", (-13, 9)), ("taller", (13, 90)), ("wider", (130, 9))]:
        yield Case(f"bmp_{name}.bmp", plain[:18] + struct.pack("<ii", *size) + plain[26:])
    for name, size in [("billions", (2**31 - 1, 2**31 - 1)), ("thirty_thousand", (30_000, 30_000))]:
        yield Case(f"bmp_{name}.bmp", plain[:18] + struct.pack("<ii", *size) + plain[26:], TOO_LARGE + "|invalid_image", "refused", "more than the server's limit")
    yield Case("bmp_lowest_height.bmp", plain[:18] + struct.pack("<iI", 13, 2**31) + plain[26:], "image_too_large|invalid_image", "refused", "more than the server's limit")
    for bits in (0, 2, 3, 15, 64):
        yield Case(f"bmp_{bits}_bits.bmp", plain[:28] + struct.pack("<H", bits) + plain[30:], UNSUPPORTED + "|invalid_image")
    for compression in (4, 5, 6, 11, 99):
        yield Case(f"bmp_compression_{compression}.bmp", bitmap(24, compression=compression), UNSUPPORTED + "|invalid_image")
    for head in (0, 11, 13, 39, 41, 200, 2**31 - 1):
        yield Case(f"bmp_head_of_{head}.bmp", plain[:14] + struct.pack("<I", head) + plain[18:], UNSUPPORTED + "|invalid_image")
    for offset in (0, 10):
        data = plain[:10] + struct.pack("<I", offset) + plain[14:]
        yield Case(f"bmp_data_at_{offset}.bmp", data, outcome="refused", why="no pixels are within the head")
    for offset in (60, 10_000, 2**32 - 1):
        yield Case(f"bmp_data_at_{offset}.bmp", plain[:10] + struct.pack("<I", offset) + plain[14:])
    yield Case("bmp_length_lies.bmp", plain[:2] + struct.pack("<I", 7) + plain[6:])
    yield Case("bmp_palette_lies.bmp", bitmap(8, entries=2**31 - 1), UNSUPPORTED + "|invalid_image")
    yield Case("bmp_trailing.bmp", plain + bytes(900))
    yield from cuts("bmp.bmp", plain, [2, 10, 14, 18, 30, 53, 54, 60, len(plain) // 2])
    yield from cuts("bmp.bmp", plain, [len(plain) - 1], outcome="refused", why="what is cut off is never answered")


def cases() -> Iterator[Case]:
    for part in (kinds, runs, lies):
        yield from part()
