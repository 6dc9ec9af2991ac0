"""A JPEG encoder for what Pillow's doesn't write: any sampling factors, components, scans, restarts and depths (ITU-T T.81).

Its Huffman codes all have one length: large files, a short program.
"""

import struct
from typing import NamedTuple

import numpy
from torture.jpeg import EOI, SOI, segment

DC_SYMBOLS = bytes(range(16))
AC_SYMBOLS = bytes(sorted({0x00, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 15))}))
FREQUENCIES = numpy.arange(8)
BASIS = numpy.cos(numpy.pi * FREQUENCIES[:, None] * (2 * FREQUENCIES + 1) / 16) * numpy.where(FREQUENCIES, 0.5, 0.125**0.5)[:, None]
ZIGZAG = sorted(range(64), key=lambda at: (at // 8 + at % 8, (at // 8 if (at // 8 + at % 8) % 2 else at % 8)))


class Component(NamedTuple):
    """A plane in the picture's full size, and how it is stored."""

    plane: numpy.ndarray
    identifier: int
    across: int = 1
    down: int = 1


def huffman_table(kind: int, symbols: bytes, bits: int) -> bytes:
    """A DHT segment in which every symbol has a code of `bits`, in order."""
    counts = bytes(len(symbols) if length == bits else 0 for length in range(1, 17))
    return segment(0xC4, bytes([kind]) + counts + symbols)


TABLES = huffman_table(0x00, DC_SYMBOLS, 5) + huffman_table(0x10, AC_SYMBOLS, 8)


def quantization(step: int = 4, wide: bool = False, number: int = 0) -> bytes:
    """A DQT segment with one step for all frequencies, in 16 bits if `wide`."""
    return segment(0xDB, bytes([(16 if wide else 0) + number]) + struct.pack(">H" if wide else ">B", step) * 64)


def frame(size: tuple[int, int], components: list[Component], marker: int = 0xC0, depth: int = 8, table: int = 0) -> bytes:
    fields = b"".join(bytes([one.identifier, one.across << 4 | one.down, table]) for one in components)
    return segment(marker, struct.pack(">BHHB", depth, size[1], size[0], len(components)) + fields)


def scan_header(components: list[Component], spectrum: bytes = b"\0\x3f\0") -> bytes:
    selected = b"".join(bytes([one.identifier, 0]) for one in components)
    return segment(0xDA, bytes([len(components)]) + selected + spectrum)


def up(number: int, by: int) -> int:
    """A quotient, rounded up."""
    return -(number // -by)


class Bits:
    """A row of bits, with a zero byte stuffed behind each 0xFF."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def put(self, value: int, length: int) -> None:
        if length:
            self.text.append(format(value, f"0{length}b"))

    def number(self, value: int, size: int) -> None:
        self.put(value if value > 0 else value + (1 << size) - 1, size)

    def bytes(self) -> bytes:
        text = "".join(self.text)
        text += "1" * (-len(text) % 8)
        data = bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
        return data.replace(b"\xff", b"\xff\0")


def coefficients(component: Component, most: tuple[int, int], size: tuple[int, int], coding: "Coding") -> numpy.ndarray:
    """Quantised coefficients as `[rows of blocks, columns, 64]` in zigzag order, padded to whole units."""
    width, height = (up(length * factor, top) for length, factor, top in zip(size, (component.across, component.down), most, strict=True))
    rows = numpy.linspace(0, size[1] - 1, height).round().astype(int)
    columns = numpy.linspace(0, size[0] - 1, width).round().astype(int)
    plane = component.plane[numpy.ix_(rows, columns)].astype(float) - (1 << coding.depth - 1)
    units = up(size[0], 8 * most[0]), up(size[1], 8 * most[1])
    full = units[1] * component.down * 8, units[0] * component.across * 8
    plane = numpy.pad(plane, ((0, full[0] - height), (0, full[1] - width)), mode="edge")
    blocks = plane.reshape(full[0] // 8, 8, full[1] // 8, 8).transpose(0, 2, 1, 3)
    return (BASIS @ blocks @ BASIS.T / coding.step).round().astype(int).reshape(*blocks.shape[:2], 64)[..., ZIGZAG]


class Huffman:
    """Writes blocks of the components of a scan, all by one pair of tables."""

    def __init__(self, components: int) -> None:
        self.bits, self.before = Bits(), [0] * components

    def block(self, component: int, block: list[int]) -> None:
        change = block[0] - self.before[component]
        self.before[component] = block[0]
        size = abs(change).bit_length()
        self.bits.put(DC_SYMBOLS.index(size), 5)
        self.bits.number(change, size)
        self.rest(block[1:])

    def rest(self, values: list[int]) -> None:
        run = 0
        for value in values:
            if value == 0:
                run += 1
                continue
            while run > 15:
                self.bits.put(AC_SYMBOLS.index(0xF0), 8)
                run -= 16
            size = abs(value).bit_length()
            self.bits.put(AC_SYMBOLS.index(run << 4 | size), 8)
            self.bits.number(value, size)
            run = 0
        if run:
            self.bits.put(AC_SYMBOLS.index(0x00), 8)

    def bytes(self) -> bytes:
        return self.bits.bytes()


def units(blocks: numpy.ndarray, one: Component, alone: bool, shape: tuple[int, int]) -> list[list[list[int]]]:
    """The component's blocks by coded unit: one each where it is `alone` in its scan, else those of an interleaved unit."""
    if alone:
        return [[blocks[row, column].tolist()] for row in range(shape[0]) for column in range(shape[1])]
    grid = blocks.reshape(blocks.shape[0] // one.down, one.down, blocks.shape[1] // one.across, one.across, 64)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1, one.down * one.across, 64).tolist()


def entropy_coded(parts: list[list[list[list[int]]]], restart: int, writer: type) -> bytes:
    """The scan's data; a restart marker behind each `restart` units."""
    out, written = b"", writer(len(parts))
    for number, unit in enumerate(zip(*parts, strict=True)):
        if restart and number and number % restart == 0:
            out += written.bytes() + bytes([0xFF, 0xD0 + (number // restart - 1) % 8])
            written = writer(len(parts))
        for index, blocks in enumerate(unit):
            for block in blocks:
                written.block(index, block)
    return out + written.bytes()


class Coding(NamedTuple):
    """How samples become data: the step of all frequencies, bits a sample, units between restarts, and what writes blocks."""

    step: int = 4
    depth: int = 8
    restart: int = 0
    writer: type = Huffman


SEQUENTIAL = Coding()


def scan(components: list[Component], all_of_them: list[Component], size: tuple[int, int], coding: Coding) -> bytes:
    most = max(one.across for one in all_of_them), max(one.down for one in all_of_them)
    parts = []
    for one in components:
        factors = zip(size, (one.across, one.down), most, strict=True)
        own = [up(up(length * factor, top), 8) for length, factor, top in factors]
        blocks = coefficients(one, most, size, coding)
        parts.append(units(blocks, one, len(components) == 1, (own[1], own[0])))
    return scan_header(components) + entropy_coded(parts, coding.restart, coding.writer)


def jpeg(components: list[Component], before=b"", marker=0xC0, coding: Coding = SEQUENTIAL, scans: list[list[int]] | None = None, tables=TABLES) -> bytes:
    """A sequential JPEG of `components`, with segments `before` its frame; `scans` says which components go together."""
    height, width = components[0].plane.shape
    interval = segment(0xDD, struct.pack(">H", coding.restart)) if coding.restart else b""
    quantized = quantization(coding.step, coding.depth > 8)
    head = SOI + before + quantized + frame((width, height), components, marker, coding.depth) + tables + interval
    together = scans or [list(range(len(components)))]
    body = (scan([components[index] for index in indices], components, (width, height), coding) for indices in together)
    return head + b"".join(body) + EOI


def lossless(plane: numpy.ndarray, predictor: int = 1) -> bytes:
    """A lossless JPEG of one component, each sample told by its difference to the one before it, or to that above where none is."""
    height, width = plane.shape
    one, values, bits = Component(plane, 1), plane.astype(int), Bits()
    for row in range(height):
        for column in range(width):
            guess = values[row, column - 1] if column else values[row - 1, 0] if row else 128
            change = int(values[row, column] - guess)
            size = abs(change).bit_length()
            bits.put(DC_SYMBOLS.index(size), 5)
            bits.number(change, size)
    spectrum = bytes([predictor, 0, 0])
    return SOI + frame((width, height), [one], 0xC3) + huffman_table(0x00, DC_SYMBOLS, 5) + scan_header([one], spectrum) + bits.bytes() + EOI
