"""PNG: every colour type and depth, interlaced or not; chunks that lie, lack, repeat and explode."""

import struct
import zlib
from collections.abc import Iterator

import numpy
from make_fixtures import ADAM7, encoded, photo, png_chunk, with_orientation
from torture.case import TOO_LARGE, UNSUPPORTED, Case, cuts

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
NAMES = {0: "grey", 2: "rgb", 3: "palette", 4: "grey_alpha", 6: "rgba"}
IEND = png_chunk(b"IEND", b"")


def samples(color: int, depth: int, size: tuple[int, int]) -> numpy.ndarray:
    """Drawn samples, `[height, width, channels]`."""
    seed = numpy.random.default_rng([color, depth, *size])
    return seed.integers(0, 2**depth, (size[1], size[0], CHANNELS[color]), numpy.uint16)


def packed(row: numpy.ndarray, depth: int) -> bytes:
    """The bytes of a row of samples."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(numpy.uint8).tobytes()
    bits = (row.reshape(-1, 1) >> numpy.arange(depth - 1, -1, -1)) & 1
    return numpy.packbits(bits.astype(numpy.uint8)).tobytes()


def filtered(row: bytes, before: bytes, kind: int, step: int) -> bytes:
    """A row as PNG's filter `kind` has it."""
    out = bytearray([kind])
    for index, value in enumerate(row):
        left = row[index - step] if index >= step else 0
        up = before[index]
        corner = before[index - step] if index >= step else 0
        nearest = min((left, up, corner), key=lambda one: abs(left + up - corner - one))
        out.append((value - (0, left, up, (left + up) // 2, nearest, 0)[kind]) & 255)
    return bytes(out)


def rows(pixels: numpy.ndarray, depth: int, interlace: int = 0, kind: int = 0) -> bytes:
    """All rows before they are compressed."""
    parts = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlace else [pixels]
    step = max(1, pixels.shape[2] * depth // 8)
    out = b""
    for part in (part for part in parts if part.size):
        before = bytes(len(packed(part[0], depth)))
        for row in part:
            line = packed(row, depth)
            out += filtered(line, before, kind, step)
            before = line
    return out


def header(size: tuple[int, int], depth: int = 8, color: int = 2, *rest: int) -> bytes:
    compression, filters, interlace = rest or (0, 0, 0)
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, color, compression, filters, interlace))


def file(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks) + IEND


def data_chunk(raw: bytes) -> bytes:
    return png_chunk(b"IDAT", zlib.compress(raw))


def palette(entries: int) -> bytes:
    colors = numpy.random.default_rng(entries).integers(0, 256, 3 * entries, numpy.uint8)
    return png_chunk(b"PLTE", colors.tobytes())


def picture(color: int, depth: int, size=(13, 9), interlace=0, kind=0, before=b"") -> bytes:
    """A whole file; `before` goes before its data."""
    colors = palette(2**depth) if color == 3 else b""
    raw = rows(samples(color, depth, size), depth, interlace, kind)
    return file(header(size, depth, color, 0, 0, interlace), colors, before, data_chunk(raw))


def transparency(color: int, depth: int) -> bytes:
    """A colour that is there to be transparent, or a palette's opacities."""
    if color == 3:
        return png_chunk(b"tRNS", bytes(range(0, 256, max(1, 256 // 2**depth)))[: 2**depth])
    return png_chunk(b"tRNS", samples(color, depth, (13, 9))[4, 5].astype(">u2").tobytes())


def kinds() -> Iterator[Case]:
    for color, depths in DEPTHS.items():
        for depth in depths:
            for interlace in (0, 1):
                name = f"png_{NAMES[color]}_{depth}{'_interlaced' if interlace else ''}"
                yield Case(f"{name}.png", picture(color, depth, interlace=interlace))
                if color in (0, 2, 3):
                    marked = picture(color, depth, interlace=interlace, before=transparency(color, depth))
                    yield Case(f"{name}_transparent.png", marked)
    for kind in range(5):
        for color, depth in [(2, 8), (0, 1), (6, 16), (4, 8)]:
            yield Case(f"png_filter_{kind}_{NAMES[color]}_{depth}.png", picture(color, depth, kind=kind))
    for size in [(1, 1), (2, 1), (1, 2), (3, 3), (4, 5), (5, 1), (1, 9), (8, 8), (300, 1), (1, 300), (65535, 1), (1, 65535), (100_000, 1)]:
        for interlace in (0, 1) if max(size) < 10 else (0,):
            name = f"png_{size[0]}x{size[1]}{'_interlaced' if interlace else ''}.png"
            yield Case(name, picture(2, 8, size, interlace))


def orientations() -> Iterator[Case]:
    chelsea = photo("chelsea", (30, 20))
    for value in [*range(10), 65535]:
        yield Case(f"png_orientation_{value}.png", encoded(chelsea, "PNG", exif=with_orientation(value)))
    yield Case("png_exif_nonsense.png", picture(2, 8, before=png_chunk(b"eXIf", b"nonsense")), outcome="decoded", why="an orientation that can't be read is none", pixels_of=picture(2, 8))
    for name, exif in [("empty", b""), ("cut", b"MM\0*\0\0\0\x08\0\x01\x01"), ("loop", b"MM\0*\0\0\0\x08\0\0\0\0\0\x08")]:
        yield Case(f"png_exif_{name}.png", picture(2, 8, before=png_chunk(b"eXIf", exif)))


def chunks() -> Iterator[Case]:
    head, data = header((13, 9)), data_chunk(rows(samples(2, 8, (13, 9)), 8))
    harmless = {
        "gamma": png_chunk(b"gAMA", struct.pack(">I", 100_000)),
        "srgb": png_chunk(b"sRGB", b"\0"),
        "chromaticities": png_chunk(b"cHRM", bytes(32)),
        "background": png_chunk(b"bKGD", bytes(6)),
        "density": png_chunk(b"pHYs", struct.pack(">IIB", 3000, 1000, 1)),
        "time": png_chunk(b"tIME", bytes(7)),
        "text": png_chunk(b"tEXt", b"key\0value"),
        "own": png_chunk(b"teSt", b"anything"),
        "profile": png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(200))),
        "histogram": png_chunk(b"hIST", bytes(6)),
        "splt": png_chunk(b"sPLT", b"name\0\x08" + bytes(6)),
        "suggested_palette": palette(40),
    }
    for name, chunk in harmless.items():
        yield Case(f"png_with_{name}.png", file(head, chunk, data))
    for length in (1, 7):
        raw = zlib.compress(rows(samples(2, 8, (13, 9)), 8))
        parts = [png_chunk(b"IDAT", raw[at : at + length]) for at in range(0, len(raw), length)]
        yield Case(f"png_data_in_parts_of_{length}.png", file(head, *parts))
        yield Case(f"png_data_in_parts_of_{length}_and_empty.png", file(head, png_chunk(b"IDAT", b""), *parts, png_chunk(b"IDAT", b"")))
    whole = file(head, data)
    yield Case("png_trailing.png", whole + b"what follows is none of our business" * 50)
    yield Case("png_leading.png", b" " + whole, UNSUPPORTED)
    yield Case("png_signature_alone.png", SIGNATURE)
    yield Case("png_line_ends_changed.png", whole.replace(b"\r\n\x1a\n", b"\n\x1a\n", 1), UNSUPPORTED)
    yield Case("png_unknown_critical.png", file(head, png_chunk(b"TEST", b"anything"), data), outcome="refused", why="who doesn't know a critical chunk must not go on")
    yield Case("png_twice.png", whole + whole)


def animated() -> Iterator[Case]:
    size = (13, 9)
    first = zlib.compress(rows(samples(2, 8, size), 8))
    second = zlib.compress(rows(samples(2, 8, (5, 4)), 8))
    control = png_chunk(b"acTL", struct.pack(">II", 2, 0))

    def frame(number: int, size: tuple[int, int], at: tuple[int, int] = (0, 0)) -> bytes:
        return png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, *size, *at, 1, 10, 0, 0))

    extra = frame(1, (5, 4), (3, 2)) + png_chunk(b"fdAT", struct.pack(">I", 2) + second)
    yield Case("png_animated.png", file(header(size), control, frame(0, size), png_chunk(b"IDAT", first), extra))
    apart = frame(0, (5, 4)) + png_chunk(b"fdAT", struct.pack(">I", 1) + second)
    yield Case("png_animated_apart.png", file(header(size), control, png_chunk(b"IDAT", first), apart))
    yield Case("png_animated_without_frames.png", file(header(size), control, png_chunk(b"IDAT", first)))
    many = png_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield Case("png_animated_says_too_much.png", file(header(size), many, frame(0, size), png_chunk(b"IDAT", first)))


def lies() -> Iterator[Case]:
    size = (13, 9)
    raw = rows(samples(2, 8, size), 8)
    head, data = header(size), data_chunk(raw)
    for name, wrong in [("width", (0, 9)), ("height", (13, 0)), ("both", (0, 0))]:
        yield Case(f"png_zero_{name}.png", file(header(wrong), data))
    for name, wrong in [("taller", (13, 10)), ("much_taller", (13, 4000))]:
        yield Case(f"png_says_{name}.png", file(header(wrong), data), outcome="refused", why="what is cut off is never answered")
    for name, wrong in [("wider", (14, 9)), ("narrower", (12, 9)), ("shorter", (13, 8))]:
        yield Case(f"png_says_{name}.png", file(header(wrong), data))
    for name, wrong in [("billions", (2**31 - 1, 2**31 - 1)), ("thirty_thousand", (30_000, 30_000)), ("one_row", (2**31 - 1, 1))]:
        yield Case(f"png_says_{name}.png", file(header(wrong), data), TOO_LARGE, "refused", "more than the server's limit")
    yield Case("png_says_too_wide_a_side.png", file(header((2**31, 1)), data), "invalid_image|image_too_large", "refused", "PNG's sides end at 2^31 - 1")
    for color, depth in [(1, 8), (5, 8), (7, 8), (2, 4), (3, 16), (4, 4), (6, 1), (0, 3), (0, 0), (2, 32)]:
        yield Case(f"png_color_{color}_depth_{depth}.png", file(header(size, depth, color), palette(4), data))
    yield Case("png_unknown_compression.png", file(header(size, 8, 2, 1, 0, 0), data), outcome="refused", why="there is one kind of compression")
    for name, rest in [("filters", (0, 1, 0)), ("interlace", (0, 0, 2))]:
        yield Case(f"png_unknown_{name}.png", file(header(size, 8, 2, *rest), data))
    yield Case("png_filter_5.png", file(head, data_chunk(rows(samples(2, 8, size), 8, kind=5))))
    colored = data_chunk(rows(samples(3, 8, size), 8))
    for name, chunks in [("without_palette", (colored,)), ("palette_behind", (colored, palette(256))), ("palette_empty", (png_chunk(b"PLTE", b""), colored)), ("palette_odd", (png_chunk(b"PLTE", bytes(10)), colored))]:
        yield Case(f"png_{name}.png", file(header(size, 8, 3), *chunks), outcome="refused", why="there are no colours, or part of one")
    yield Case("png_palette_short.png", file(header(size, 8, 3), palette(3), colored))
    yield Case("png_palette_long.png", file(header(size, 1, 3), palette(200), data_chunk(rows(samples(3, 1, size), 1))))
    yield Case("png_opacities_long.png", file(header(size, 1, 3), palette(2), png_chunk(b"tRNS", bytes(200)), data_chunk(rows(samples(3, 1, size), 1))))
    yield Case("png_opacity_cut.png", file(head, png_chunk(b"tRNS", b"\0"), data), outcome="decoded", why="a transparent colour that can't be read is none", pixels_of=file(head, data))
    yield Case("png_without_data.png", file(head))
    yield Case("png_without_header.png", file(data))
    yield Case("png_two_headers.png", file(head, header((14, 9)), data))
    yield Case("png_header_short.png", file(png_chunk(b"IHDR", bytes(12)), data))
    yield Case("png_header_long.png", file(png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0) + b"more"), data), outcome="refused", why="a head has thirteen bytes")
    yield Case("png_without_end.png", SIGNATURE + head + data, outcome="refused", why="what is cut off is never answered")
    yield Case("png_data_apart.png", file(head, data[:20], png_chunk(b"tEXt", b"a\0b"), data[20:]))
    yield Case("png_length_lies.png", SIGNATURE + head + struct.pack(">I", 2**31 - 1) + data[4:] + IEND, outcome="refused", why="what is cut off is never answered")
    yield Case("png_length_beyond.png", SIGNATURE + head + struct.pack(">I", 2**32 - 1) + data[4:] + IEND, outcome="refused", why="what is cut off is never answered")


def damage() -> Iterator[Case]:
    size = (13, 9)
    raw = rows(samples(2, 8, size), 8)
    stream = zlib.compress(raw)
    head = header(size)

    def spoilt(chunk: bytes) -> bytes:
        return chunk[:-1] + bytes([chunk[-1] ^ 1])

    data = png_chunk(b"IDAT", stream)
    yield Case("png_checksum_of_header.png", file(spoilt(head), data))
    yield Case("png_checksum_of_data.png", file(head, spoilt(data)), outcome="refused", why="what is damaged is never answered")
    yield Case("png_checksum_of_text.png", file(head, spoilt(png_chunk(b"tEXt", b"key\0value")), data), outcome="decoded", why="what isn't looked at may be damaged", pixels_of=file(head, data))
    yield Case("png_checksum_of_palette.png", file(header(size, 8, 3), spoilt(palette(256)), data_chunk(rows(samples(3, 8, size), 8))))
    yield Case("png_checksum_of_end.png", SIGNATURE + head + data + spoilt(IEND))
    yield Case("png_adler.png", file(head, png_chunk(b"IDAT", spoilt(stream))), outcome="decoded", why="the chunk's own checksum is right", pixels_of=file(head, data))
    yield Case("png_without_adler.png", file(head, png_chunk(b"IDAT", stream[:-4])))
    yield Case("png_stream_cut.png", file(head, png_chunk(b"IDAT", stream[: len(stream) // 2])))
    yield Case("png_stream_longer.png", file(head, png_chunk(b"IDAT", stream + b"more than there should be")))
    yield Case("png_stream_of_nothing.png", file(head, png_chunk(b"IDAT", zlib.compress(b""))))
    yield Case("png_no_stream.png", file(head, png_chunk(b"IDAT", b"this is no stream at all")))
    yield Case("png_window_too_large.png", file(head, png_chunk(b"IDAT", b"\x88\x1c" + stream[2:])))
    yield Case("png_rows_missing.png", file(head, data_chunk(raw[: len(raw) // 2])))
    yield Case("png_row_cut.png", file(head, data_chunk(raw[:-1])))
    yield Case("png_rows_too_many.png", file(head, data_chunk(raw * 2)))
    whole = file(head, png_chunk(b"tEXt", b"key\0value"), data)
    places, at = [], len(SIGNATURE)
    while at < len(whole):
        length = int.from_bytes(whole[at : at + 4])
        places += [at, at + 2, at + 6, at + 8, at + 8 + length // 2, at + 8 + length, at + 10 + length]
        at += 12 + length
    yield from cuts("png.png", whole, [1, 4], refused=UNSUPPORTED)
    yield from cuts("png.png", whole, [place for place in places if place < len(whole) - 4], outcome="refused", why="what is cut off is never answered")


def bombs() -> Iterator[Case]:
    size = (13, 9)
    head, data = header(size), data_chunk(rows(samples(2, 8, size), 8))
    plain = file(head, data)
    zeros = zlib.compress(bytes(64 << 20), 9)
    unread = "what isn't looked at can't explode"
    for name, chunk in [("text", png_chunk(b"zTXt", b"key\0\0" + zeros)), ("profile", png_chunk(b"iCCP", b"name\0\0" + zeros)), ("long_text", png_chunk(b"iTXt", b"key\0\1\0\0\0" + zeros))]:
        yield Case(f"png_bomb_in_{name}.png", file(head, chunk, data), outcome="decoded", why=unread, pixels_of=plain)
    # two gigabytes of nothing behind a few pixels
    yield Case("png_bomb_behind_pixels.png", file(head, png_chunk(b"IDAT", zlib.compress(rows(samples(2, 8, size), 8) + bytes(64 << 20), 9))))
    many = b"".join(png_chunk(b"tEXt", b"k\0" + bytes([65 + index % 26])) for index in range(20_000))
    yield Case("png_many_chunks.png", file(head, many, data))


def cases() -> Iterator[Case]:
    for part in (kinds, orientations, chunks, animated, lies, damage, bombs):
        yield from part()
