"""GIF by its blocks: interlacing of few rows, extensions before and behind the frame, and data that is damaged."""

from collections.abc import Iterator

from torture.case import Case
from torture.gif import END, coded, control, frame, screen, table

SIZE = (21, 13)
EXTENSIONS = {
    "loops_cut": b"!\xff\x0bNETSCAPE2.0\0",
    "comment_empty": b"!\xfe\0",
    "comment_long": b"!\xfe" + (b"\xff" + b"x" * 255) * 20 + b"\0",
    "plain_text": b"!\x01\x0c" + bytes(12) + b"\x04text\0",
    "xmp": b"!\xff\x0bXMP DataXMP<x/>\1" + bytes(range(255, -1, -1)) + b"\0",
    "control_short": b"!\xf9\3\0\0\0\0",
    "control_long": b"!\xf9\6\1\0\0\5\0\0\0",
    "control_empty": b"!\xf9\0",
    "controls": control(3, 1) + control(5, 2),
    "control_and_comment": control(3) + b"!\xfe\7between\0",
}
UNREAD = "what isn't looked at may be damaged"
DAMAGED = "what is damaged is never answered"


def interlaced() -> Iterator[Case]:
    for height in range(1, 10):
        yield Case(f"gif_interlaced_of_{height}_rows.gif", screen((5, height)) + frame((5, height), flags=0x40) + END)
    yield Case("gif_interlaced_inside.gif", screen(SIZE) + frame((9, 5), (4, 3), flags=0x40) + END)


def extensions() -> Iterator[Case]:
    for name, block in EXTENSIONS.items():
        rule = ("invalid_image", "decoded", UNREAD, screen(SIZE) + frame(SIZE) + END) if name == "loops_cut" else ()
        rule = ("invalid_image", "refused", DAMAGED) if name in ("control_short", "control_long", "control_empty") else rule
        yield Case(f"gif_{name}_before.gif", screen(SIZE) + block + frame(SIZE) + END, *rule)
        yield Case(f"gif_{name}_behind.gif", screen(SIZE) + frame(SIZE) + block + END)
    yield Case("gif_junk_behind.gif", screen(SIZE) + frame(SIZE) + b"junk" + END)
    yield Case("gif_second_frame_broken.gif", screen(SIZE) + frame(SIZE) + frame(SIZE, data=b"\3\3\1\2\3\0") + END)


def places() -> Iterator[Case]:
    for disposal in range(4, 8):
        yield Case(f"gif_disposal_{disposal}.gif", screen(SIZE) + control(2, disposal) + frame(SIZE) + frame((9, 5), (3, 4)) + END)
    for background in [0, 5, 200]:
        for transparent in [None, 0, 4]:
            told = b"" if transparent is None else control(transparent)
            name = f"gif_ground_{background}_transparent_{transparent}.gif".lower()
            yield Case(name, screen(SIZE, 3, background) + told + frame((9, 5), (4, 3)) + END)
            own = screen(SIZE, 3, background) + told + frame((9, 5), (4, 3), own=3) + END
            yield Case(f"gif_own_table_{name[4:]}", own)
    greys = bytes(value for index in range(8) for value in [index] * 3)
    grey_screen = screen(SIZE).replace(table(3), greys)
    yield Case("gif_table_of_its_indices.gif", grey_screen + frame(SIZE) + END)
    for size in [(65535, 1), (1, 65535)]:
        yield Case(f"gif_of_{size[0]}x{size[1]}.gif", screen(size) + frame(size) + END)
    yield Case("gif_on_49_megapixels.gif", screen((7000, 7000)) + frame(SIZE) + END)


def damage() -> Iterator[Case]:
    good = coded(bytes(index % 8 for index in range(SIZE[0] * SIZE[1])), 3)
    middle = len(good) // 2
    singly = good[:1] + b"".join(b"\1" + good[at : at + 1] for at in range(2, len(good) - 1)) + b"\0"
    variants = {
        "junk_behind": good[:-1] + b"\4junk\0",
        "flipped": good[:middle] + bytes([good[middle] ^ 0xFF]) + good[middle + 1 :],
        "zeroed": good[:middle] + bytes(20) + good[middle + 20 :],
        "in_single_bytes": singly,
    }
    for name, data in variants.items():
        yield Case(f"gif_data_{name}.gif", screen(SIZE) + frame(SIZE, data=data) + END)


def cases() -> Iterator[Case]:
    for part in (interlaced, extensions, places, damage):
        yield from part()
