"""JPEG as no common encoder writes it: samplings, scans, arithmetic and lossless coding, 12 bits; tables and data that are damaged."""

from collections.abc import Iterator

import numpy
from make_fixtures import encoded, photo
from torture.case import UNSUPPORTED, Case
from torture.jpeg import EOI, SOI, behind_start, patched, place, places, segment
from torture.jpeg_arithmetic import Arithmetic
from torture.jpeg_encoder import AC_SYMBOLS, TABLES, Coding, Component, frame, huffman_table, jpeg, lossless, quantization, scan_header

SIZES = [(45, 31), (64, 64)]
SAMPLINGS = ["12,11,11", "41,11,11", "14,11,11", "42,11,11", "24,11,11", "31,11,11", "13,11,11", "22,21,21", "22,12,12", "22,21,12"]
SAMPLINGS += ["22,22,11", "11,22,22", "21,12,11", "32,11,11", "33,11,11", "44,11,11", "11,21,22", "22,22,22", "21,21,21"]
ARITHMETIC = Coding(writer=Arithmetic)


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def colors(size: tuple[int, int] = (45, 31)) -> numpy.ndarray:
    return numpy.asarray(photo("chelsea", size).convert("YCbCr"))


def grey(size: tuple[int, int] = (45, 31)) -> numpy.ndarray:
    return numpy.asarray(photo("astronaut", size).convert("L"))


def inks() -> numpy.ndarray:
    return numpy.dstack([numpy.asarray(photo("chelsea", (45, 31))), 255 - grey() // 3])


def components(pixels: numpy.ndarray, sampling: str = "11") -> list[Component]:
    """The channels of `pixels`, each with its factors of `sampling`, the first's where there are too few."""
    factors = [(int(pair[0]), int(pair[1])) for pair in sampling.split(",")]
    factors += factors[:1] * (pixels.shape[2] - len(factors))
    return [Component(pixels[..., index], index + 1, *factors[index]) for index in range(pixels.shape[2])]


def samplings() -> Iterator[Case]:
    for sampling in SAMPLINGS:
        for size in SIZES:
            name = sampling.replace(",", "_")
            yield Case(f"jpeg_sampled_{name}_{size[0]}.jpg", jpeg(components(colors(size), sampling)))
    for sampling in ["12", "22", "44"]:
        yield Case(f"jpeg_sampled_grey_{sampling}.jpg", jpeg(components(grey()[..., None], sampling)))
    for name, before in {"plain": b"", "adobe_0": adobe(0), "adobe_1": adobe(1), "adobe_2": adobe(2)}.items():
        yield Case(f"jpeg_inks_{name}.jpg", jpeg(components(inks(), "22,11,11,22"), before))
    for channels in [2, 5]:
        pixels = numpy.dstack([inks(), grey()])[..., :channels]
        yield Case(f"jpeg_of_{channels}_channels.jpg", jpeg(components(pixels)), UNSUPPORTED + "|invalid_image")


def codings() -> Iterator[Case]:
    for sampling in ["11", "21,11,11", "22,11,11", "12,11,11"]:
        for restart in [0, 3]:
            coding = ARITHMETIC._replace(restart=restart)
            name = f"jpeg_arithmetic_{sampling.replace(',', '_')}{'_restarts' if restart else ''}.jpg"
            yield Case(name, jpeg(components(colors(), sampling), marker=0xC9, coding=coding, tables=b""))
    yield Case("jpeg_arithmetic_grey.jpg", jpeg(components(grey()[..., None]), marker=0xC9, coding=ARITHMETIC, tables=b""))
    yield Case("jpeg_arithmetic_fine.jpg", jpeg(components(colors()), marker=0xC9, coding=ARITHMETIC._replace(step=1), tables=b""))
    yield Case("jpeg_arithmetic_inks.jpg", jpeg(components(inks()), adobe(0), marker=0xC9, coding=ARITHMETIC, tables=b""))
    # what the standard takes where nothing is said: 0 and 1 for the first coefficient, 5 for the others
    said = segment(0xCC, b"\0\x10\x10\5")
    whole = jpeg(components(colors()), said, marker=0xC9, coding=ARITHMETIC, tables=b"")
    yield Case("jpeg_arithmetic_conditioned.jpg", whole)
    middle = len(whole) * 2 // 3
    yield Case("jpeg_arithmetic_flipped.jpg", patched(whole, middle, whole[middle] ^ 0x55))
    yield Case("jpeg_arithmetic_cut.jpg", whole[:middle], outcome="refused", why="what is cut off is never answered")
    yield Case("jpeg_arithmetic_ends_early.jpg", whole[:middle] + EOI)
    yield Case("jpeg_arithmetic_conditions_lie.jpg", jpeg(components(colors()), segment(0xCC, b"\0\x0f"), marker=0xC9, coding=ARITHMETIC, tables=b""))
    for predictor in [1, 9]:
        yield Case(f"jpeg_lossless_{predictor}.jpg", lossless(grey(), predictor), UNSUPPORTED, "refused", "lossless JPEG isn't decoded")
    deep = jpeg(components(grey()[..., None].astype(int) * 16), marker=0xC1, coding=Coding(step=8, depth=12))
    yield Case("jpeg_deep.jpg", deep, UNSUPPORTED)
    yield Case("jpeg_wide_steps.jpg", SOI + quantization(300, wide=True) + jpeg(components(colors()))[len(SOI + quantization()) :])


def scans() -> Iterator[Case]:
    orders = {"apart": [[0], [1], [2]], "backwards": [[2], [1], [0]], "pair": [[0], [1, 2]], "luma_only": [[0]], "chroma_only": [[1], [2]]}
    orders |= {"twice": [[0, 1, 2], [0, 1, 2]], "one_twice": [[0], [0], [1], [2]]}
    for name, order in orders.items():
        for sampling in ["11", "22,11,11"]:
            yield Case(f"jpeg_scans_{name}_{sampling[:2]}.jpg", jpeg(components(colors(), sampling), scans=order))
    for restart in [1, 2, 7, 1000]:
        yield Case(f"jpeg_restart_each_{restart}.jpg", jpeg(components(colors()), coding=Coding(restart=restart)))
    for sampling in ["4:4:4", "4:2:0"]:
        data = encoded(photo("chelsea", (90, 62)), "JPEG", progressive=True, subsampling=sampling)
        starts = [at for marker, at in places(data) if marker == 0xDA]
        for number, start in enumerate(starts[1:], 1):
            yield Case(f"jpeg_progressive_{sampling.replace(':', '')}_of_{number}_scans.jpg", data[:start] + EOI)
        order = [*starts, len(data) - 2]
        backwards = b"".join(data[order[at] : order[at + 1]] for at in reversed(range(len(starts))))
        yield Case(f"jpeg_progressive_{sampling.replace(':', '')}_backwards.jpg", data[: starts[0]] + backwards + EOI)
        for name, spectrum in {"inverted": b"\5\1\0", "beyond": b"\1\x40\0", "refined_first": b"\0\0\x10", "dc_and_ac": b"\0\5\0", "shift_14": b"\0\0\x0e"}.items():
            at = starts[0] + 2 + int.from_bytes(data[starts[0] + 2 : starts[0] + 4]) - 3
            yield Case(f"jpeg_progressive_{sampling.replace(':', '')}_spectrum_{name}.jpg", patched(data, at, *spectrum))


def tables() -> Iterator[Case]:
    variants = {
        "overfull": segment(0xC4, b"\0" + b"\x03" + bytes(15) + b"\0\1\2"),
        "counts_cut": segment(0xC4, b"\0\1\1"),
        "symbols_cut": segment(0xC4, b"\0" + bytes(7) + b"\x10" + bytes(8) + b"\1\2\3"),
        "of_no_codes": segment(0xC4, b"\0" + bytes(16)) + segment(0xC4, b"\x10" + bytes(16)),
        "of_large_differences": huffman_table(0x00, bytes(range(17, 33)), 5) + huffman_table(0x10, AC_SYMBOLS, 8),
        "of_one_code": huffman_table(0x00, b"\0", 1) + huffman_table(0x10, AC_SYMBOLS, 8),
        "twice": TABLES + TABLES,
        "missing": b"",
    }
    for name, data in variants.items():
        yield Case(f"jpeg_codes_{name}.jpg", jpeg(components(colors()), tables=data))
    plain = jpeg(components(colors()))
    at = place(plain, 0xDB)
    yield Case("jpeg_steps_of_table_7.jpg", patched(plain, at + 4, 7))
    yield Case("jpeg_steps_cut.jpg", plain[:at] + segment(0xDB, bytes(40)) + plain[at + 69 :])
    yield Case("jpeg_restart_interval_of_four_bytes.jpg", behind_start(plain, segment(0xDD, b"\0\0\0\1")))


def damage() -> Iterator[Case]:
    sources = {"sequential": jpeg(components(colors())), "restarts": jpeg(components(colors()), coding=Coding(restart=2))}
    sources["progressive"] = encoded(photo("chelsea", (90, 62)), "JPEG", progressive=True)
    for name, data in sources.items():
        start = place(data, 0xDA) + 14
        middle = (start + len(data)) // 2
        yield Case(f"jpeg_{name}_flipped.jpg", patched(data, middle, data[middle] ^ 0x55))
        yield Case(f"jpeg_{name}_zeroed.jpg", patched(data, middle, *bytes(60)))
        yield Case(f"jpeg_{name}_left_out.jpg", data[:middle] + data[middle + 60 :])
        yield Case(f"jpeg_{name}_marker_inside.jpg", data[:middle] + b"\xff\x01\xff\xe5\0\2" + data[middle:])
        yield Case(f"jpeg_{name}_end_inside.jpg", data[:middle] + EOI + data[middle:])
        yield Case(f"jpeg_{name}_longer.jpg", data[:-2] + b"\x55" * 500 + EOI)
        yield Case(f"jpeg_{name}_of_ones.jpg", data[:start] + b"\xff\0" * 400 + EOI)
    data = sources["restarts"]
    first, third = [at for marker, at in places(data) if 0xD0 <= marker <= 0xD7][:3:2]
    yield Case("jpeg_restart_doubled.jpg", data[:first] + data[first : first + 2] + data[first:])
    yield Case("jpeg_restart_out_of_turn.jpg", patched(data, third + 1, 0xD6))
    yield Case("jpeg_restart_unannounced.jpg", data.replace(segment(0xDD, b"\0\2"), b""))


def bombs() -> Iterator[Case]:
    """Scans that change nothing: each takes a few bytes, and passes over the whole picture."""
    size, one = (4000, 4000), Component(numpy.zeros((1, 1)), 1)
    # the end of up to 2^14 blocks at once, in three bits and fourteen
    codes = huffman_table(0x00, b"\0", 1) + huffman_table(0x10, b"\0\xe0\x70", 3)
    blocks = (size[0] // 8) * (size[1] // 8)
    head = SOI + quantization() + frame(size, [one], 0xC2) + codes + scan_header([one], b"\0\0\0") + bytes(blocks // 8)
    empty = scan_header([one], b"\1\x3f\0") + b"\x2f\xff\0\xff\0" * 16
    for scans in [10, 2000]:
        why = "nobody needs so many scans, and each takes its time" if scans > 100 else ""
        yield Case(f"jpeg_bomb_of_{scans}_scans.jpg", head + empty * scans + EOI, outcome="refused" if why else "pillow", why=why)


def cases() -> Iterator[Case]:
    for part in (samplings, codings, scans, tables, damage, bombs):
        yield from part()
