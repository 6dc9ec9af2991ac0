"""PNG by its chunks: what is out of place, doubled or of an odd length, frames of animations that lie, and metadata that explodes."""

import struct
import zlib
from collections.abc import Iterator

from PIL import ImageCms

from make_fixtures import png_chunk
from torture.case import Case
from torture.png import DEPTHS, IEND, NAMES, SIGNATURE, data_chunk, file, header, palette, picture, rows, samples

SIZE = (13, 9)
RAW = rows(samples(2, 8, SIZE), 8)
HEAD, DATA = header(SIZE), data_chunk(RAW)
UNREAD = "what isn't looked at may be damaged"
ORDER = "the head is first, and there is one palette"


def ancillary() -> Iterator[Case]:
    profiles = {name: ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes() for name in ("sRGB", "LAB")}
    chunks = {
        "gamma_odd": png_chunk(b"gAMA", struct.pack(">I", 100)),
        "gamma_zero": png_chunk(b"gAMA", bytes(4)),
        "srgb_lying": png_chunk(b"sRGB", b"\x09"),
        "profile_of_srgb": png_chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(profiles["sRGB"])),
        "profile_of_lab": png_chunk(b"iCCP", b"Lab\0\0" + zlib.compress(profiles["LAB"])),
        "profile_broken": png_chunk(b"iCCP", b"sRGB\0\0no deflate"),
        "significant_bits": png_chunk(b"sBIT", b"\5\6\5"),
        "significant_bits_lying": png_chunk(b"sBIT", b"\x63\x63\x63"),
        "coding_points": png_chunk(b"cICP", b"\x09\x10\0\1"),
        "text_without_end": png_chunk(b"tEXt", b"T" * 100),
        "text_deflated": png_chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"cat" * 50)),
        "text_of_no_utf8": png_chunk(b"iTXt", b"Title\0\0\0\0\0\xff\xff"),
        "palette_of_nine": palette(9),
    }
    for name, chunk in chunks.items():
        yield Case(f"png_beside_{name}.png", file(HEAD, chunk, DATA))
    nothing = file(HEAD, png_chunk(b"tRNS", b""), DATA)
    yield Case("png_beside_transparency_empty.png", nothing, outcome="decoded", why=UNREAD, pixels_of=file(HEAD, DATA))
    for color in [4, 6]:
        for depth in DEPTHS[color]:
            yield Case(f"png_{NAMES[color]}_{depth}_with_key.png", picture(color, depth, before=png_chunk(b"tRNS", b"\0\1" * 3)))
    for size in [(2, 3), (3, 2), (5, 5), (9, 1)]:
        for color, depth in [(0, 1), (3, 4), (2, 16)]:
            yield Case(f"png_interlaced_{NAMES[color]}_{depth}_of_{size[0]}x{size[1]}.png", picture(color, depth, size, interlace=1))


def order() -> Iterator[Case]:
    stream = zlib.compress(RAW)
    first, second = png_chunk(b"IDAT", stream[:40]), png_chunk(b"IDAT", stream[40:])
    text = png_chunk(b"tEXt", b"a\0b")
    yield Case("png_data_first_part.png", file(HEAD, first))
    yield Case("png_data_second_part.png", file(HEAD, second))
    yield Case("png_data_interrupted.png", file(HEAD, first, text, second))
    yield Case("png_end_before_data.png", SIGNATURE + HEAD + IEND + DATA + IEND)
    yield Case("png_end_with_data.png", SIGNATURE + HEAD + DATA + png_chunk(b"IEND", b"more"))
    yield Case("png_head_second.png", file(png_chunk(b"gAMA", struct.pack(">I", 45455)), HEAD, DATA), outcome="refused", why=ORDER)
    yield Case("png_name_of_no_letters.png", file(HEAD, png_chunk(b"\0\1\2\3", b"?"), DATA))
    yield Case("png_of_apple.png", file(png_chunk(b"CgBI", b"\x50\0\x20\2"), HEAD, DATA), outcome="refused", why=ORDER)
    indices = data_chunk(rows(samples(3, 8, SIZE), 8))
    yield Case("png_palette_twice.png", file(header(SIZE, 8, 3), palette(256), palette(255), indices), outcome="refused", why=ORDER)
    yield Case("png_palette_of_300.png", file(header(SIZE, 8, 3), palette(300), indices))
    yield Case("png_data_stored.png", file(HEAD, png_chunk(b"IDAT", zlib.compress(RAW, 0))))
    yield Case("png_data_with_dictionary.png", file(HEAD, png_chunk(b"IDAT", b"\x78\xbb" + stream[2:])))
    yield Case("png_last_row_of_filter_255.png", file(HEAD, data_chunk(RAW[:-40] + b"\xff" + RAW[-39:])))
    for length in [0, 3, 2**31, 2**32 - 1]:
        told = struct.pack(">I", length)
        for name, at in {"head": 8, "data": len(SIGNATURE + HEAD)}.items():
            whole = file(HEAD, DATA)
            rule = {"outcome": "refused", "why": "what is cut off is never answered"} if length >= 2**31 else {}
            yield Case(f"png_{name}_of_length_{length}.png", whole[:at] + told + whole[at + 4 :], **rule)


def animations() -> Iterator[Case]:
    def control(number: int, size=SIZE, at=(0, 0)) -> bytes:
        return png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, *size, *at, 1, 10, 1, 1))

    def count(frames: int) -> bytes:
        return png_chunk(b"acTL", struct.pack(">II", frames, 0))

    small = zlib.compress(rows(samples(2, 8, (5, 4)), 8))
    second = control(1, (5, 4), (3, 2)) + png_chunk(b"fdAT", struct.pack(">I", 2) + small)
    yield Case("png_moving_one_said.png", file(HEAD, count(1), control(0), DATA))
    yield Case("png_moving_none_said.png", file(HEAD, count(0), control(0), DATA))
    yield Case("png_moving_frame_outside.png", file(HEAD, count(2), control(0, SIZE, (9, 9)), DATA, second))
    yield Case("png_moving_frame_smaller.png", file(HEAD, count(2), control(0, (5, 4)), DATA, second))
    yield Case("png_moving_out_of_order.png", file(HEAD, count(2), control(7), DATA, second))
    yield Case("png_moving_second_broken.png", file(HEAD, count(2), control(0), DATA, control(1, (5, 4)), png_chunk(b"fdAT", b"\0")))
    yield Case("png_moving_count_behind.png", file(HEAD, control(0), DATA, count(2), second))
    yield Case("png_moving_count_short.png", file(HEAD, png_chunk(b"acTL", b"\0\0\0\2"), control(0), DATA), outcome="decoded", why=UNREAD, pixels_of=file(HEAD, DATA))


def bombs() -> Iterator[Case]:
    plain = file(HEAD, DATA)
    mega = zlib.compress(bytes(1 << 20), 9)
    many = b"".join(png_chunk(b"zTXt", b"key%d\0\0" % number + mega) for number in range(70))
    yield Case("png_bomb_of_many_texts.png", file(HEAD, many, DATA), outcome="decoded", why="what isn't looked at can't explode", pixels_of=plain)
    text = png_chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(64 << 20), 9))
    yield Case("png_bomb_of_text_behind.png", file(HEAD, DATA, text), outcome="decoded", why="what isn't looked at can't explode", pixels_of=plain)
    yield Case("png_of_49_megapixels.png", file(header((7000, 7000), 1, 0), png_chunk(b"IDAT", zlib.compress(bytes(7000 * 876), 9))))


def cases() -> Iterator[Case]:
    for part in (ancillary, order, animations, bombs):
        yield from part()
