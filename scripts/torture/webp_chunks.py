"""WebP by its chunks: planes of opacity by every filter, animations' first frames, and lengths and sizes that lie."""

import struct
from collections.abc import Iterator

from make_fixtures import alpha_ramp, encoded, photo
from torture.case import TOO_LARGE, Case, cuts
from torture.webp import chunk, extended, riff

SIZE = (45, 31)
SMALL = (20, 10)
ANIMATED, ALPHA, PROFILE = 2, 16, 32
UNREAD = "what isn't looked at may be damaged"
KINDS = {"lossy": {"quality": 80}, "lossless": {"lossless": True}}


def image(kind: str, size: tuple[int, int] = SIZE, name: str = "chelsea") -> bytes:
    """The chunk of a picture's data."""
    return encoded(photo(name, size), "WEBP", **KINDS[kind])[12:]


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def sizes() -> Iterator[Case]:
    for kind in KINDS:
        for size in [(16383, 1), (1, 16383), (17, 33)]:
            yield Case(f"webp_{kind}_of_{size[0]}x{size[1]}.webp", riff(image(kind, size)))
        for quality, method in [(0, 0), (0, 6), (20, 4), (100, 0), (100, 6)]:
            data = encoded(photo("chelsea", (90, 62)), "WEBP", quality=quality, method=method, lossless=kind == "lossless")
            yield Case(f"webp_{kind}_by_{quality}_and_{method}.webp", data)


def opacity() -> Iterator[Case]:
    rgba = photo("chelsea", SIZE)
    rgba.putalpha(alpha_ramp(SIZE))
    data = encoded(rgba, "WEBP", quality=70)
    at = data.index(b"ALPH")
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    plane, lossy = data[at + 8 : at + 8 + length], data[data.index(b"VP8 ") :]
    raw = alpha_ramp(SIZE).tobytes()
    planes = {"as_written": plane, "cut": plane[: length // 2], "flags_alone": plane[:1], "empty": b"", "short": b"\0" + raw[:500], "long": b"\0" + raw + bytes(50)}
    planes |= {f"flags_{flags:02x}": bytes([flags]) + raw for flags in (0x00, 0x04, 0x08, 0x0C, 0x10, 0x20, 0x30, 0x03, 0xC0)}
    for name, plane in planes.items():
        rule = {"outcome": "decoded", "why": UNREAD, "pixels_of": riff(lossy)} if name == "flags_c0" else {}
        yield Case(f"webp_lossy_opacity_{name}.webp", riff(extended(ALPHA, SIZE), chunk(b"ALPH", plane), lossy), **rule)
    plane = chunk(b"ALPH", b"\0" + raw)
    yield Case("webp_lossy_opacity_unannounced.webp", riff(extended(0, SIZE), plane, lossy))
    yield Case("webp_lossy_opacity_without_head.webp", riff(plane, lossy))
    yield Case("webp_lossy_opacity_behind.webp", riff(extended(ALPHA, SIZE), lossy, plane), outcome="decoded", why=UNREAD, pixels_of=riff(lossy))
    yield Case("webp_lossy_opacity_twice.webp", riff(extended(ALPHA, SIZE), plane, plane, lossy), outcome="decoded", why=UNREAD, pixels_of=riff(lossy))


def frame(data: bytes, at: tuple[int, int] = (0, 0), size: tuple[int, int] = SIZE, flags: int = 0) -> bytes:
    numbers = b"".join(struct.pack("<I", value)[:3] for value in (at[0] // 2, at[1] // 2, size[0] - 1, size[1] - 1, 100))
    return chunk(b"ANMF", numbers + bytes([flags]) + data)


def animation(*frames: bytes, size: tuple[int, int] = SIZE, background: bytes = bytes(4), flags: int = ANIMATED | ALPHA) -> bytes:
    return riff(extended(flags, size), chunk(b"ANIM", background + b"\0\0"), *frames)


def animations() -> Iterator[Case]:
    for kind in KINDS:
        name, full = f"webp_{kind}_moving", image(kind)
        small = image(kind, SMALL)
        inside = frame(small, (6, 8), SMALL)
        ground = b"\x10\x20\x30\xff"
        yield Case(f"{name}_one_frame.webp", animation(frame(full)))
        yield Case(f"{name}_first_inside.webp", animation(inside, frame(full)))
        yield Case(f"{name}_first_inside_ground.webp", animation(inside, background=ground))
        yield Case(f"{name}_first_inside_opaque.webp", animation(inside, background=ground, flags=ANIMATED))
        yield Case(f"{name}_not_blended.webp", animation(frame(full, flags=2), inside))
        yield Case(f"{name}_frame_outside.webp", animation(frame(small, (40, 30), SMALL)))
        yield Case(f"{name}_frame_size_lies.webp", animation(frame(small)), outcome="refused", why="what is damaged is never answered")
        yield Case(f"{name}_second_broken.webp", animation(frame(full), frame(b"VP8 \5\0\0\0abcde\0")), outcome="decoded", why=UNREAD, pixels_of=animation(frame(full)))
        yield Case(f"{name}_no_frame.webp", animation())
        yield Case(f"{name}_frame_empty.webp", animation(frame(b"")))
        yield Case(f"{name}_unannounced.webp", animation(frame(full), flags=0))
        yield Case(f"{name}_announced_alone.webp", riff(extended(ANIMATED, SIZE), full))
        yield Case(f"{name}_without_settings.webp", riff(extended(ANIMATED, SIZE), frame(full)))
        yield Case(f"{name}_on_49_megapixels.webp", animation(frame(full), size=(7000, 7000)))
        yield Case(f"{name}_on_too_many.webp", animation(frame(full), size=(16383, 16383)), TOO_LARGE, "refused", "more than the server's limit")
        yield from cuts(f"{name}.webp", animation(frame(full), inside), [30, 40, 60, 200], outcome="refused", why="what is cut off is never answered")


def lies() -> Iterator[Case]:
    for kind in KINDS:
        name, data = f"webp_{kind}", image(kind)
        good = riff(data)
        true = int.from_bytes(data[4:8], "little")
        for length in [0, 1, 10, true - 1, true + 2, 2**31, 2**32 - 1]:
            yield Case(f"{name}_chunk_of_{length}.webp", patched(good, 16, struct.pack("<I", length)))
        for length in [4, 12, len(good) - 10, len(good) - 7, 2**32 - 1]:
            yield Case(f"{name}_file_of_{length}.webp", patched(good, 4, struct.pack("<I", length)))
        for size in [(44, 31), (46, 31), (45, 1)]:
            yield Case(f"{name}_canvas_{size[0]}x{size[1]}.webp", riff(extended(0, size), data))
        yield Case(f"{name}_head_short.webp", riff(chunk(b"VP8X", bytes(4)), data))
        yield Case(f"{name}_head_twice.webp", riff(extended(0, SIZE), extended(0, SIZE), data), outcome="decoded", why=UNREAD, pixels_of=good)
        yield Case(f"{name}_reserved_flags.webp", riff(extended(0xC1, SIZE), data), outcome="decoded", why=UNREAD, pixels_of=good)
        yield Case(f"{name}_opacity_announced.webp", riff(extended(ALPHA, SIZE), data))
        yield Case(f"{name}_unknown_chunk_first.webp", riff(chunk(b"ABCD", b"odd"), data))
        yield Case(f"{name}_unknown_chunk_of_odd_length.webp", riff(extended(0, SIZE), chunk(b"ABCD", b"odd"), data, chunk(b"EFGH", b"odd")))
        yield Case(f"{name}_profile_broken.webp", riff(extended(PROFILE, SIZE), chunk(b"ICCP", b"nothing"), data))
        yield Case(f"{name}_twice.webp", riff(extended(0, SIZE), data, image(kind, name="coffee")), outcome="decoded", why=UNREAD, pixels_of=good)
        middle = len(good) // 2
        yield Case(f"{name}_flipped.webp", patched(good, middle, bytes([good[middle] ^ 0xFF])))
        yield Case(f"{name}_zeroed.webp", patched(good, middle, bytes(40)))
        yield Case(f"{name}_of_ones.webp", patched(good, 30, b"\xff" * (len(good) - 30)))


def heads() -> Iterator[Case]:
    lossy, lossless = riff(image("lossy")), riff(image("lossless"))
    yield Case("webp_lossy_named_lossless.webp", lossy.replace(b"VP8 ", b"VP8L"))
    yield Case("webp_lossless_named_lossy.webp", lossless.replace(b"VP8L", b"VP8 "))
    yield Case("webp_lossy_start_code.webp", lossy.replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b"))
    yield Case("webp_lossy_no_key_frame.webp", patched(lossy, 20, bytes([lossy[20] | 1])))
    for version in range(1, 4):
        yield Case(f"webp_lossy_version_{version}.webp", patched(lossy, 20, bytes([lossy[20] & 0xF1 | version << 1])))
    for width, height in [(0, 31), (45, 0), (44, 31), (60, 60), (45 | 0x4000, 31 | 0x8000)]:
        yield Case(f"webp_lossy_says_{width}x{height}.webp", patched(lossy, 26, struct.pack("<HH", width, height)))
    yield Case("webp_lossy_says_largest.webp", patched(lossy, 26, struct.pack("<HH", 16383, 16383)), TOO_LARGE, "refused", "more than the server's limit")
    for width, height in [(44, 31), (60, 60)]:
        yield Case(f"webp_lossless_says_{width}x{height}.webp", patched(lossless, 21, struct.pack("<I", (width - 1) | (height - 1) << 14)))
    yield Case("webp_lossless_says_largest.webp", patched(lossless, 21, struct.pack("<I", 0x0FFFFFFF)), TOO_LARGE + "|invalid_image", "refused", "more than the server's limit")
    yield Case("webp_lossless_version_1.webp", patched(lossless, 24, bytes([lossless[24] | 0x20])))


def cases() -> Iterator[Case]:
    for part in (sizes, opacity, animations, lies, heads):
        yield from part()
