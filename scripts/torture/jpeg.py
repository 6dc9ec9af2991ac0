"""JPEG: codings, colours and samplings; markers that lie, lack, repeat and end early."""

import struct
from collections.abc import Iterator

import numpy
import simplejpeg
from make_fixtures import encoded, photo, plain_cmyk_jpeg, with_orientation, ycck_jpeg
from torture.case import TOO_LARGE, UNSUPPORTED, Case, cuts

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
STANDALONE = {0x01, *range(0xD0, 0xDA)}


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def places(data: bytes) -> list[tuple[int, int]]:
    """Marker and place of every segment, those between scans included."""
    found, at = [], 0
    while at < len(data) - 1:
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):
            at += 1
            continue
        marker = data[at + 1]
        found.append((marker, at))
        at += 2 if marker in STANDALONE else 2 + int.from_bytes(data[at + 2 : at + 4])
    return found


def place(data: bytes, *markers: int) -> int:
    return next(at for marker, at in places(data) if marker in markers)


def patched(data: bytes, at: int, *values: int) -> bytes:
    return data[:at] + bytes(values) + data[at + len(values) :]


def without(data: bytes, marker: int) -> bytes:
    """`data` without its first segment of that marker."""
    at = place(data, marker)
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]


def behind_start(data: bytes, *parts: bytes) -> bytes:
    return data[:2] + b"".join(parts) + data[2:]


def kinds() -> Iterator[Case]:
    chelsea = photo("chelsea", (67, 45))
    pixels = numpy.ascontiguousarray(numpy.asarray(chelsea))
    for sampling in ["444", "422", "420", "440", "411", "Gray"]:
        for quality in (1, 30, 75, 100):
            space = "GRAY" if sampling == "Gray" else "RGB"
            source = numpy.ascontiguousarray(pixels[:, :, :1]) if space == "GRAY" else pixels
            yield Case(f"jpeg_{sampling}_q{quality}.jpg", simplejpeg.encode_jpeg(source, quality, space, sampling))
    for sampling in ["4:4:4", "4:2:2", "4:2:0"]:
        for name, options in [("progressive", {"progressive": True}), ("optimised", {"optimize": True}), ("restarts", {"restart_marker_blocks": 2})]:
            yield Case(f"jpeg_{name}_{sampling.replace(':', '')}.jpg", encoded(chelsea, "JPEG", subsampling=sampling, **options))
    yield Case("jpeg_progressive_grey.jpg", encoded(chelsea.convert("L"), "JPEG", progressive=True))
    yield Case("jpeg_progressive_restarts.jpg", encoded(chelsea, "JPEG", progressive=True, restart_marker_rows=1))
    for name, data in [("cmyk", encoded(chelsea.convert("CMYK"), "JPEG")), ("cmyk_plain", plain_cmyk_jpeg(chelsea)), ("ycck", ycck_jpeg(chelsea)), ("rgb", encoded(chelsea, "JPEG", keep_rgb=True))]:
        yield Case(f"jpeg_{name}.jpg", data)
    yield Case("jpeg_cmyk_progressive.jpg", encoded(chelsea.convert("CMYK"), "JPEG", progressive=True))
    for size in [(1, 1), (1, 50), (50, 1), (7, 8), (8, 8), (9, 16), (17, 17), (2, 3), (65500, 1), (1, 65500)]:
        data = encoded(photo("coffee", size), "JPEG", quality=85)
        yield Case(f"jpeg_{size[0]}x{size[1]}.jpg", data)


def colors() -> Iterator[Case]:
    chelsea = photo("chelsea", (40, 31))
    plain = encoded(chelsea, "JPEG", quality=90, subsampling="4:4:4")
    bare = without(plain, 0xE0)
    for transform in (0, 1, 2, 3):
        adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
        yield Case(f"jpeg_adobe_{transform}.jpg", behind_start(bare, adobe))
        yield Case(f"jpeg_jfif_adobe_{transform}.jpg", behind_start(plain, adobe))
        inks = plain_cmyk_jpeg(chelsea)
        yield Case(f"jpeg_cmyk_adobe_{transform}.jpg", behind_start(inks, adobe))
    yield Case("jpeg_without_jfif.jpg", bare)
    frame, scan = place(bare, 0xC0), place(bare, 0xDA)
    for name, numbers in [("letters", b"RGB"), ("from_zero", b"\0\1\2"), ("small_letters", b"rgb"), ("equal", b"\1\1\1"), ("photo_ycc", b"\1\x22\x23")]:
        data = bytearray(bare)
        for index, number in enumerate(numbers):
            data[frame + 10 + 3 * index] = number
            data[scan + 5 + 2 * index] = number
        yield Case(f"jpeg_components_{name}.jpg", bytes(data))
    profile = segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(300))
    yield Case("jpeg_profile.jpg", behind_start(plain, profile))
    yield Case("jpeg_profile_part_missing.jpg", behind_start(plain, segment(0xE2, b"ICC_PROFILE\0\2\3" + bytes(30))))
    yield Case("jpeg_comment.jpg", behind_start(plain, segment(0xFE, b"a comment" * 7000)))
    yield Case("jpeg_many_comments.jpg", behind_start(plain, segment(0xFE, b"") * 5000))
    for marker in range(0xE1, 0xF0):
        yield Case(f"jpeg_app_{marker - 0xE0}.jpg", behind_start(plain, segment(marker, b"whatever")))


def orientations() -> Iterator[Case]:
    chelsea = photo("chelsea", (40, 24))
    for value in [*range(10), 65535]:
        yield Case(f"jpeg_orientation_{value}.jpg", encoded(chelsea, "JPEG", exif=with_orientation(value)))
    plain = encoded(chelsea, "JPEG")

    def exif(order: str, kind: int, value: bytes, count: int = 1) -> bytes:
        mark = b"II*\0" if order == "<" else b"MM\0*"
        return segment(0xE1, b"Exif\0\0" + mark + struct.pack(order + "IHHHI", 8, 1, 0x0112, kind, count) + value + bytes(4))

    for name, part in {
        "little": exif("<", 3, struct.pack("<HH", 6, 0)),
        "big": exif(">", 3, struct.pack(">HH", 6, 0)),
        "unknown_type": exif("<", 99, struct.pack("<I", 6)),
        "none_of_them": exif("<", 3, struct.pack("<HH", 6, 0), 0),
        "empty": segment(0xE1, b"Exif\0\0"),
        "cut": exif("<", 3, struct.pack("<HH", 6, 0))[:-14],
        "nonsense": segment(0xE1, b"Exif\0\0nonsense"),
        "loop": segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0"),
        "far": segment(0xE1, b"Exif\0\0II*\0\xf0\xff\xff\xff"),
    }.items():
        if name != "cut":
            yield Case(f"jpeg_exif_{name}.jpg", behind_start(plain, part))
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    turned = exif("<", 3, struct.pack("<HH", 3, 0))
    yield Case("jpeg_exif_behind_xmp.jpg", behind_start(plain, xmp, turned))
    yield Case("jpeg_exif_before_jfif.jpg", behind_start(plain, turned))


def markers() -> Iterator[Case]:
    chelsea = photo("chelsea", (67, 45))
    plain = encoded(chelsea, "JPEG", quality=85)
    frame = place(plain, 0xC0)
    yield Case("jpeg_trailing.jpg", plain + b"what follows is none of our business" * 50)
    yield Case("jpeg_two.jpg", plain + encoded(photo("coffee", (30, 20)), "JPEG"))
    yield Case("jpeg_leading.jpg", b"\0" + plain, UNSUPPORTED)
    yield Case("jpeg_start_alone.jpg", SOI, UNSUPPORTED + "|invalid_image")
    yield Case("jpeg_start_and_end.jpg", SOI + EOI, UNSUPPORTED + "|invalid_image")
    yield Case("jpeg_fill_bytes.jpg", plain[:2] + b"\xff" * 30 + plain[2:])
    yield Case("jpeg_garbage_between.jpg", plain[:frame] + b"garbage" + plain[frame:])
    for name, marker in [("extended", 0xC1), ("progressive", 0xC2), ("lossless", 0xC3), ("hierarchical", 0xC5), ("arithmetic", 0xC9), ("arithmetic_progressive", 0xCA), ("extension", 0xC8), ("arithmetic_lossless", 0xCB)]:
        data = patched(plain, frame + 1, marker)
        if name == "extended":
            yield Case("jpeg_says_extended.jpg", data)
        else:
            yield Case(f"jpeg_says_{name}.jpg", data, UNSUPPORTED + "|invalid_image", "refused", "its data are of another coding")
    for bits in (0, 1, 7, 9, 12, 16, 255):
        yield Case(f"jpeg_{bits}_bits.jpg", patched(plain, frame + 4, bits), UNSUPPORTED + "|invalid_image", "refused", "eight bits are decoded")
    for name, size in [("width", (45, 0)), ("both", (0, 0))]:
        yield Case(f"jpeg_zero_{name}.jpg", patched(plain, frame + 5, *struct.pack(">HH", *size)), UNSUPPORTED + "|invalid_image")
    yield Case("jpeg_zero_height.jpg", patched(plain, frame + 5, 0, 0), UNSUPPORTED + "|invalid_image")
    yield Case("jpeg_says_largest.jpg", patched(plain, frame + 5, 0xFF, 0xDC, 0xFF, 0xDC), TOO_LARGE, "refused", "more than the server's limit")
    yield Case("jpeg_says_wide.jpg", patched(plain, frame + 5, 0xFF, 0xFF, 0xFF, 0xFF), "image_too_large|invalid_image", "refused", "more than the server's limit")
    for name, size in [("taller", (61, 67)), ("much_taller", (3000, 67)), ("wider", (45, 99))]:
        yield Case(f"jpeg_says_{name}.jpg", patched(plain, frame + 5, *struct.pack(">HH", *size)))
    yield Case("jpeg_no_components.jpg", patched(plain, frame + 9, 0), UNSUPPORTED + "|invalid_image")
    yield Case("jpeg_five_components.jpg", patched(plain, frame + 9, 5))
    yield Case("jpeg_two_components.jpg", patched(plain, frame + 9, 2), UNSUPPORTED + "|invalid_image")
    for value in (0x00, 0x05, 0x50, 0xFF):
        yield Case(f"jpeg_sampling_{value:02x}.jpg", patched(plain, frame + 11, value))
    yield Case("jpeg_no_such_quantisation.jpg", patched(plain, frame + 12, 3))
    yield Case("jpeg_quantisation_of_zeros.jpg", patched(plain, place(plain, 0xDB) + 5, *bytes(64)))
    for marker, name in [(0xDB, "quantisation"), (0xC4, "huffman"), (0xC0, "frame"), (0xDA, "scan")]:
        yield Case(f"jpeg_without_{name}.jpg", without(plain, marker))
        at = place(plain, marker)
        for length in (0, 1, 2, 3):
            yield Case(f"jpeg_{name}_of_length_{length}.jpg", patched(plain, at + 2, 0, length))
        yield Case(f"jpeg_{name}_beyond_end.jpg", patched(plain, at + 2, 0xFF, 0xFF))
    yield Case("jpeg_huffman_too_many.jpg", patched(plain, place(plain, 0xC4) + 5, *[255] * 16))
    yield Case("jpeg_huffman_no_such_table.jpg", patched(plain, place(plain, 0xC4) + 4, 0x77))
    yield Case("jpeg_two_frames.jpg", plain[:frame] + plain[frame : frame + 2 + int.from_bytes(plain[frame + 2 : frame + 4])] + plain[frame:])
    yield Case("jpeg_two_starts.jpg", SOI + plain)
    scan = place(plain, 0xDA)
    yield Case("jpeg_scan_of_no_component.jpg", patched(plain, scan + 5, 77))
    yield Case("jpeg_scan_of_none.jpg", patched(plain, scan + 4, 0))
    yield Case("jpeg_tables_alone.jpg", plain[:scan] + EOI)


def ends() -> Iterator[Case]:
    chelsea = photo("chelsea", (67, 45))
    for name, options in [("jpeg", {}), ("jpeg_progressive", {"progressive": True}), ("jpeg_restarts", {"restart_marker_rows": 1})]:
        data = encoded(chelsea, "JPEG", quality=80, **options)
        at = [where for marker, where in places(data) if marker != 0xD9 and where > 2]
        inside = [where + 3 for where in at] + [len(data) * part // 10 for part in range(6, 10)]
        yield from cuts(f"{name}.jpg", data, [1, 3, *at, *inside], refused="invalid_image|unsupported_image", outcome="refused", why="Pillow fills up with grey what isn't there")
        yield Case(f"{name}_without_end.jpg", data[:-2], outcome="refused", why="what is cut off is never answered")
    restarts = encoded(chelsea, "JPEG", restart_marker_rows=1)
    where = [at for marker, at in places(restarts) if marker in range(0xD0, 0xD8)]
    yield Case("jpeg_restart_missing.jpg", restarts[: where[0]] + restarts[where[1] :])
    yield Case("jpeg_restart_of_another_number.jpg", patched(restarts, where[0] + 1, 0xD5))


def cases() -> Iterator[Case]:
    for part in (kinds, colors, orientations, markers, ends):
        yield from part()
