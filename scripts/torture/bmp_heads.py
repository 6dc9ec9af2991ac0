"""BMP by its heads: each kind with each depth, masks, tables of greys and of few colours, runs of four bits, and places that lie."""

import struct
from collections.abc import Iterator

from torture.bmp import bitmap
from torture.case import TOO_LARGE, UNSUPPORTED, Case

MASKS = {
    "565": (16, (0xF800, 0x7E0, 0x1F, 0)),
    "555": (16, (0x7C00, 0x3E0, 0x1F, 0)),
    "bgrx": (32, (0xFF0000, 0xFF00, 0xFF, 0)),
    "xbgr": (32, (0xFF000000, 0xFF0000, 0xFF00, 0)),
    "bgra": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    "rgba": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    "abgr": (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
}
CUT = "what is cut off is never answered"
NO_SUCH_HEAD = "heads of OS/2's second version aren't read"


def heads() -> Iterator[Case]:
    for head in [52, 56, 64, 108, 124]:
        rule = (UNSUPPORTED, "refused", NO_SUCH_HEAD) if head == 64 else ()
        for bits in [1, 4, 8, 16, 24, 32]:
            yield Case(f"bmp_{bits}_bits_in_head_of_{head}.bmp", bitmap(bits, head=head), *rule)
    for bits in [16, 32]:
        yield Case(f"bmp_{bits}_bits_in_core.bmp", bitmap(bits, head=12), UNSUPPORTED + "|invalid_image", "refused", "the oldest heads tell no more than 24 bits")
    for bits in [1, 4, 8, 16, 24, 32]:
        for width in [2, 3, 7, 8, 9]:
            yield Case(f"bmp_{bits}_bits_{width}_wide.bmp", bitmap(bits, (width, 5)))
    for size in [(20_000, 1), (1, 20_000)]:
        yield Case(f"bmp_{size[0]}x{size[1]}.bmp", bitmap(24, size))


def masks() -> Iterator[Case]:
    for name, (bits, mask) in MASKS.items():
        for head in [40, 56, 124]:
            said = struct.pack("<3I" if head == 40 else "<4I", *mask[: 3 if head == 40 else 4])
            whole_mask = head != 40 or not mask[3]
            if whole_mask:
                yield Case(f"bmp_masks_{name}_in_head_of_{head}.bmp", bitmap(bits, compression=3, head=head, masks=said))


def tables() -> Iterator[Case]:
    greys = {1: [0, 255], 8: range(256), "stretched": range(0, 256, 17), "inverted": [255, 0]}
    for bits, values in greys.items():
        depth = {"stretched": 4, "inverted": 1}.get(bits, bits)
        data = bitmap(depth)
        table = b"".join(bytes([value] * 3 + [0]) for value in values)
        yield Case(f"bmp_greys_{bits}.bmp", data[:54] + table + data[54 + len(table) :])
    for bits, used in [(1, 1), (4, 3), (8, 20), (8, 255)]:
        yield Case(f"bmp_{bits}_bits_of_{used}_colors.bmp", bitmap(bits, colors=used, entries=used), outcome="pillow")
    for used in [257, 300, 70_000]:
        yield Case(f"bmp_of_{used}_colors.bmp", bitmap(8, colors=used, entries=used), UNSUPPORTED + "|invalid_image", "refused", "a byte can't name so many")
    yield Case("bmp_colors_of_24_bits.bmp", bitmap(24, colors=7, entries=7))


def runs() -> Iterator[Case]:
    end, done = b"\0\0", b"\0\1"
    yield Case("bmp_runs_4_odd.bmp", bitmap(4, (7, 4), compression=2, data=(b"\7\x72" + end) * 4 + done))
    yield Case("bmp_runs_4_two.bmp", bitmap(4, (9, 4), compression=2, data=(b"\5\x72\4\x31" + end) * 4 + done))
    yield Case("bmp_runs_4_literal.bmp", bitmap(4, (8, 4), compression=2, data=(b"\0\5\x12\x34\x50\0" + b"\3\x67" + end) * 4 + done))
    yield Case("bmp_runs_8_literal_odd.bmp", bitmap(8, (5, 4), compression=1, data=(b"\0\5\1\2\3\4\5\0" + end) * 4 + done))
    yield Case("bmp_runs_8_no_row_ends.bmp", bitmap(8, (8, 4), compression=1, data=b"\x08\7" * 4 + done))
    yield Case("bmp_runs_8_of_4.bmp", bitmap(8, (8, 4), compression=2, data=(b"\x08\7" + end) * 4 + done), UNSUPPORTED + "|invalid_image", "refused", "runs of four bits are of four bits")
    yield Case("bmp_runs_4_of_8.bmp", bitmap(4, (8, 4), compression=1, data=(b"\x08\7" + end) * 4 + done), UNSUPPORTED + "|invalid_image", "refused", "runs of eight bits are of eight bits")
    yield Case("bmp_runs_24.bmp", bitmap(24, (8, 4), compression=1, data=(b"\x08\7" + end) * 4 + done), UNSUPPORTED + "|invalid_image")
    yield Case("bmp_runs_down.bmp", bitmap(8, (8, 4), compression=1, down=True, data=(b"\x08\7" + end) * 4 + done), UNSUPPORTED + "|invalid_image", "refused", "runs go upwards")
    yield Case("bmp_runs_bomb.bmp", bitmap(8, (7, 7_000_000), compression=1, data=b"\7\1" + done), "invalid_image", "refused", "pixels are left out")
    yield Case("bmp_runs_bomb_too_large.bmp", bitmap(8, (8, 7_000_000), compression=1, data=b"\7\1" + done), TOO_LARGE + "|invalid_image", "refused", "more than the server's limit")


def places() -> Iterator[Case]:
    whole, indexed = bitmap(24), bitmap(8)
    for at in [55, 56, 4000]:
        yield Case(f"bmp_24_bits_at_{at}.bmp", whole[:10] + struct.pack("<I", at) + whole[14:], outcome="refused", why=CUT)
    for at in [1079, 1090]:
        yield Case(f"bmp_8_bits_at_{at}.bmp", indexed[:10] + struct.pack("<I", at) + indexed[14:], outcome="refused", why=CUT)
    yield Case("bmp_8_bits_at_54.bmp", indexed[:10] + struct.pack("<I", 54) + indexed[14:], outcome="refused", why="no pixels are within the colours")
    yield Case("bmp_gap.bmp", whole[:10] + struct.pack("<I", 54 + 99) + whole[14:54] + bytes(99) + whole[54:])
    for planes in [0, 2, 65535]:
        yield Case(f"bmp_{planes}_planes.bmp", bitmap(24, planes=planes), UNSUPPORTED + "|invalid_image", "refused", "a bitmap is of one plane")
    yield Case("bmp_array_of_os2.bmp", b"BA" + bytes(12) + whole, UNSUPPORTED)
    yield Case("bmp_without_head_of_file.bmp", whole[14:], UNSUPPORTED, "refused", "none of the formats that are read")


def cases() -> Iterator[Case]:
    for part in (heads, masks, tables, runs, places):
        yield from part()
