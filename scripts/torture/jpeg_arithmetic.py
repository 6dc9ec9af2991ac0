"""Arithmetic coding of JPEG's coefficients (ITU-T T.81, annexes D and F.1.4), which Pillow reads and doesn't write."""

from collections import defaultdict

# Table D.3 of the standard: the less probable bit's share, the next state after it and after the other, whether they change places
STATES = [
    (int(share, 16), int(less), int(more), int(change))
    for share, less, more, change in (row.split(",") for row in """
5a1d,1,1,1 2586,14,2,0 1114,16,3,0 080b,18,4,0 03d8,20,5,0 01da,23,6,0 00e5,25,7,0 006f,28,8,0 0036,30,9,0 001a,33,10,0
000d,35,11,0 0006,9,12,0 0003,10,13,0 0001,12,13,0 5a7f,15,15,1 3f25,36,16,0 2cf2,38,17,0 207c,39,18,0 17b9,40,19,0
1182,42,20,0 0cef,43,21,0 09a1,45,22,0 072f,46,23,0 055c,48,24,0 0406,49,25,0 0303,51,26,0 0240,52,27,0 01b1,54,28,0
0144,56,29,0 00f5,57,30,0 00b7,59,31,0 008a,60,32,0 0068,62,33,0 004e,63,34,0 003b,32,35,0 002c,33,9,0 5ae1,37,37,1
484c,64,38,0 3a0d,65,39,0 2ef1,67,40,0 261f,68,41,0 1f33,69,42,0 19a8,70,43,0 1518,72,44,0 1177,73,45,0 0e74,74,46,0
0bfb,75,47,0 09f8,77,48,0 0861,78,49,0 0706,79,50,0 05cd,48,51,0 04de,50,52,0 040f,50,53,0 0363,51,54,0 02d4,52,55,0
025c,53,56,0 01f8,54,57,0 01a4,55,58,0 0160,56,59,0 0125,57,60,0 00f6,58,61,0 00cb,59,62,0 00ab,61,63,0 008f,61,32,0
5b12,65,65,1 4d04,80,66,0 412c,81,67,0 37d8,82,68,0 2fe8,83,69,0 293c,84,70,0 2379,86,71,0 1edf,87,72,0 1aa9,87,73,0
174e,72,74,0 1424,72,75,0 119c,74,76,0 0f6b,74,77,0 0d51,75,78,0 0bb6,77,79,0 0a40,77,48,0 5832,80,81,1 4d1c,88,82,0
438e,89,83,0 3bdd,90,84,0 34ee,91,85,0 2eae,92,86,0 299a,93,87,0 2516,86,71,0 5570,88,89,1 4ca9,95,90,0 44d9,96,91,0
3e22,97,92,0 3824,99,93,0 32b4,99,94,0 2e17,93,86,0 56a8,95,96,1 4f46,101,97,0 47e5,102,98,0 41cf,103,99,0 3c3d,104,100,0
375e,99,93,0 5231,105,102,0 4c0f,106,103,0 4639,107,104,0 415e,103,99,0 5627,105,106,1 50e7,108,107,0 4b85,109,103,0
5597,110,109,0 504f,111,107,0 5a10,110,111,1 5522,112,109,0 59eb,112,111,1
""".split())
]  # fmt: skip

# bins of which each bit is as likely as the other
EVEN = "even"
# the frequency up to which the standard's default conditioning takes the lower bins
LOW_FREQUENCIES = 5


class Coder:
    """The interval as a whole number that grows: no carry has to be looked after."""

    def __init__(self) -> None:
        self.low, self.width, self.shifts = 0, 0x10000, 0
        self.bins: dict = defaultdict(lambda: [0, 0])

    def bit(self, where: tuple, bit: bool) -> None:
        state, likely = self.bins[where]
        share, less, more, change = (0x5A1D, 0, 0, 0) if where[0] == EVEN else STATES[state]
        self.width -= share
        if bit == likely and self.width >= 0x8000:
            return
        # the larger part is the likely bit's, whichever that is
        if (bit != likely) == (self.width >= share):
            self.low, self.width = self.low + self.width, share
        if bit != likely:
            self.bins[where] = [less, likely ^ change]
        else:
            self.bins[where] = [more, likely]
        while self.width < 0x8000:
            self.low, self.width, self.shifts = self.low << 1, self.width << 1, self.shifts + 1

    def bytes(self) -> bytes:
        end = (self.low + self.width - 1) & ~0xFFFF
        end += 0x8000 if end < self.low else 0
        length = 16 + self.shifts
        data = (end << -length % 8).to_bytes(-(-length // 8))
        return data.rstrip(b"\0").replace(b"\xff", b"\xff\0")


def magnitude(coder: Coder, value: int, first: tuple, second: tuple, room: tuple) -> int:
    """A magnitude of at least 1, as figures F.8 and F.9 have it; answers how many bits it took beyond the first."""
    rest = value - 1
    size = rest.bit_length()
    name, base = room
    steps = [first, second, *((name, base + index) for index in range(14))]
    for step in steps[:size]:
        coder.bit(step, True)
    last = steps[size]
    coder.bit(last, False)
    for place in range(size - 2, -1, -1):
        coder.bit((*last, "pattern"), bool(rest >> place & 1))
    return size


def write_dc(coder: Coder, table: int, context: int, change: int) -> int:
    """A difference of first coefficients; answers the context for the next one."""
    coder.bit(("dc", table, context, "zero"), change != 0)
    if not change:
        return 0
    coder.bit(("dc", table, context, "sign"), change < 0)
    where = ("dc", table, context, "below" if change < 0 else "above")
    size = magnitude(coder, abs(change), where, ("dc", table, "x", 0), (("dc", table, "x"), 1))
    # with the default conditioning, small ends at a magnitude of two
    return (1 if change > 0 else 2) + (2 if size > 1 else 0)


def write_ac(coder: Coder, table: int, values: list[int]) -> None:
    """A block's other coefficients, in zigzag order."""
    end = max((index for index, value in enumerate(values, 1) if value), default=0)
    after_value = True
    for index, value in enumerate(values[:end], 1):
        if after_value:
            coder.bit(("ac", table, index, "end"), False)
        coder.bit(("ac", table, index, "zero"), value != 0)
        after_value = value != 0
        if value:
            coder.bit((EVEN,), value < 0)
            where = ("ac", table, index, "size")
            magnitude(coder, abs(value), where, where, (("ac", table, "low" if index <= LOW_FREQUENCIES else "high"), 0))
    if end < len(values):
        coder.bit(("ac", table, end + 1, "end"), True)


class Arithmetic:
    """Writes blocks of the components of a scan, all by one table."""

    def __init__(self, components: int) -> None:
        self.coder, self.before, self.contexts = Coder(), [0] * components, [0] * components

    def block(self, component: int, block: list[int]) -> None:
        change = block[0] - self.before[component]
        self.before[component] = block[0]
        self.contexts[component] = write_dc(self.coder, 0, self.contexts[component], change)
        write_ac(self.coder, 0, block[1:])

    def bytes(self) -> bytes:
        return self.coder.bytes()
