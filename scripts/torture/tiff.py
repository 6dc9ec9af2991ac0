"""TIFF: layouts, packings and depths; directories that lie, loop and lead nowhere."""

import io
import struct
from collections.abc import Iterator

import numpy
import tifffile
from make_fixtures import encoded, photo, with_orientation
from torture.case import TOO_LARGE, UNSUPPORTED, Case, cuts

NOT_READ = UNSUPPORTED + "|invalid_image"


def written(pixels: numpy.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def directory(entries: dict[int, tuple[int, int, int]], data: bytes = b"", following: int = 0, order: str = "<") -> bytes:
    """A file of one directory; an entry is type, count and value. Data begin at 8."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    at = 8 + len(data)
    body = struct.pack(order + "H", len(entries))
    for tag in sorted(entries):
        kind, count, value = entries[tag]
        body += struct.pack(order + "HHI", tag, kind, count)
        body += struct.pack(order + "HH", value, 0) if kind == 3 and count == 1 else struct.pack(order + "I", value)
    return mark + struct.pack(order + "I", at) + data + body + struct.pack(order + "I", following)


def plain(size: tuple[int, int] = (13, 9), **changed: tuple[int, int, int]) -> bytes:
    """Grey in one strip; `changed` names tags as `t256`."""
    data = numpy.random.default_rng(5).integers(0, 256, 13 * 9, numpy.uint8).tobytes()
    entries = {256: (3, 1, size[0]), 257: (3, 1, size[1]), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8), 277: (3, 1, 1), 278: (3, 1, size[1]), 279: (4, 1, len(data))}
    entries |= {int(tag[1:]): entry for tag, entry in changed.items()}
    return directory({tag: entry for tag, entry in entries.items() if entry is not None}, data)


def kinds() -> Iterator[Case]:
    chelsea = photo("chelsea", (40, 30))
    pixels, grey = numpy.asarray(chelsea), numpy.asarray(chelsea.convert("L"))
    for packing in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for mode in ("RGB", "L", "1", "RGBA", "CMYK"):
            name = f"tiff_{mode.lower()}_{(packing or 'plain').removeprefix('tiff_')}.tif"
            yield Case(name, encoded(chelsea.convert(mode), "TIFF", compression=packing), NOT_READ)
    yield Case("tiff_la.tif", encoded(chelsea.convert("LA"), "TIFF"), UNSUPPORTED, "refused", "grey with opacity isn't decoded")
    yield Case("tiff_jpeg.tif", encoded(chelsea, "TIFF", compression="jpeg"))
    yield Case("tiff_palette.tif", encoded(chelsea.quantize(90), "TIFF"), UNSUPPORTED, "refused", "palettes aren't decoded")
    for value in range(10):
        yield Case(f"tiff_orientation_{value}.tif", encoded(chelsea, "TIFF", exif=with_orientation(value)))
    for order in "<>":
        name = "little_end" if order == "<" else "big_end"
        yield Case(f"tiff_{name}.tif", written(pixels, photometric="rgb", byteorder=order))
        yield Case(f"tiff_{name}_16.tif", written(pixels.astype(numpy.uint16) * 257, photometric="rgb", byteorder=order))
        yield Case(f"tiff_{name}_grey_16.tif", written(grey.astype(numpy.uint16) * 3, photometric="minisblack", byteorder=order))
    yield Case("tiff_white_is_zero.tif", written(grey, photometric="miniswhite"))
    yield Case("tiff_planes.tif", written(numpy.ascontiguousarray(pixels.transpose(2, 0, 1)), photometric="rgb", planarconfig="separate"), NOT_READ)
    yield Case("tiff_rows_each.tif", written(pixels, photometric="rgb", rowsperstrip=1))
    yield Case("tiff_rows_seven.tif", written(pixels, photometric="rgb", rowsperstrip=7))
    for tile in [(16, 16), (32, 16), (64, 64)]:
        yield Case(f"tiff_tiles_{tile[0]}x{tile[1]}.tif", written(pixels, photometric="rgb", tile=tile))
    yield Case("tiff_bigtiff.tif", written(pixels, photometric="rgb", bigtiff=True), UNSUPPORTED, "refused", "files of more than 4 GiB aren't decoded")
    yield Case("tiff_pages.tif", written(numpy.stack([pixels, pixels[::-1]]), photometric="rgb"))
    for name, kind in [("float_32", numpy.float32), ("float_64", numpy.float64), ("signed_8", numpy.int8), ("signed_16", numpy.int16), ("unsigned_32", numpy.uint32)]:
        yield Case(f"tiff_{name}.tif", written(grey.astype(kind), photometric="minisblack"), UNSUPPORTED, "refused", "whole numbers of 8 and 16 bits are decoded")
    yield Case("tiff_own.tif", plain())
    yield Case("tiff_one_pixel.tif", plain((1, 1), t279=(4, 1, 1)))


def lies() -> Iterator[Case]:
    yield Case("tiff_zero_width.tif", plain((0, 9)), NOT_READ)
    yield Case("tiff_zero_height.tif", plain((13, 0)), NOT_READ)
    yield Case("tiff_taller.tif", plain((13, 90)), NOT_READ)
    yield Case("tiff_wider.tif", plain((130, 9)), NOT_READ)
    yield Case("tiff_thirty_thousand.tif", plain((30_000, 30_000)), TOO_LARGE, "refused", "more than the server's limit")
    yield Case("tiff_billions.tif", plain(t256=(4, 1, 2**32 - 1), t257=(4, 1, 2**32 - 1)), "image_too_large|invalid_image|unsupported_image", "refused", "more than the server's limit")
    for name, tag in [("width", "t256"), ("height", "t257"), ("photometric", "t262"), ("offsets", "t273"), ("counts", "t279")]:
        yield Case(f"tiff_without_{name}.tif", plain(**{tag: None}), NOT_READ, "refused", "nothing is guessed")
    for name, entry in [("offset_beyond", {"t273": (4, 1, 90_000)}), ("offset_at_end", {"t273": (4, 1, 2**32 - 1)}), ("count_beyond", {"t279": (4, 1, 90_000)}), ("count_none", {"t279": (4, 1, 0)})]:
        yield Case(f"tiff_{name}.tif", plain(**entry), NOT_READ)
    for name, entry in [("packing", {"t259": (3, 1, 77)}), ("fax", {"t259": (3, 1, 3)}), ("photometric", {"t262": (3, 1, 77)}), ("bits_3", {"t258": (3, 1, 3)}), ("bits_64", {"t258": (3, 1, 64)}), ("samples_7", {"t277": (3, 1, 7)}), ("samples_largest", {"t277": (3, 1, 65535)}), ("rows_none", {"t278": (3, 1, 0)}), ("format", {"t339": (3, 1, 9)})]:
        yield Case(f"tiff_unknown_{name}.tif", plain(**entry), NOT_READ)
    yield Case("tiff_count_largest.tif", plain(t279=(4, 1, 2**32 - 1)), TOO_LARGE + "|" + NOT_READ, "refused", "a strip isn't larger than its file")
    for kind in (0, 13, 99):
        yield Case(f"tiff_entry_of_type_{kind}.tif", plain(t256=(kind, 1, 13)), NOT_READ)
    yield Case("tiff_unknown_planes.tif", plain(t284=(3, 1, 9)), NOT_READ, "refused", "nothing is guessed")
    yield Case("tiff_entry_of_many.tif", plain(t256=(3, 2**32 - 1, 13)), TOO_LARGE + "|" + NOT_READ)
    yield Case("tiff_text_of_many.tif", plain(t270=(2, 2**32 - 1, 8)), NOT_READ)
    for name, at in [("zero", 0), ("beyond", 90_000), ("largest", 2**32 - 1), ("odd", 9)]:
        yield Case(f"tiff_directory_{name}.tif", plain()[:4] + struct.pack("<I", at) + plain()[8:], NOT_READ)
    whole = plain()
    first = int.from_bytes(whole[4:8], "little")
    yield Case("tiff_directory_follows_itself.tif", whole[:-4] + struct.pack("<I", first), outcome="refused", why="directories don't go round")
    yield Case("tiff_directory_follows_nowhere.tif", whole[:-4] + struct.pack("<I", 90_000))
    yield Case("tiff_no_entries.tif", b"II*\0\x08\0\0\0" + bytes(6), NOT_READ)
    yield Case("tiff_many_entries.tif", b"II*\0\x08\0\0\0\xff\xff" + bytes(60), NOT_READ)
    yield Case("tiff_mark_alone.tif", b"II*\0", NOT_READ)
    yield Case("tiff_trailing.tif", whole + bytes(500))


def bombs() -> Iterator[Case]:
    data = written(numpy.zeros((7000, 7000), numpy.uint8), photometric="minisblack", compression="zlib")
    yield Case("tiff_zeros.tif", data)
    larger = written(numpy.zeros((8000, 8000), numpy.uint8), photometric="minisblack", compression="zlib")
    yield Case("tiff_more_zeros.tif", larger, TOO_LARGE, "refused", "more than the server's limit")


def damage() -> Iterator[Case]:
    chelsea = photo("chelsea", (40, 30))
    for packing in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        data = encoded(chelsea, "TIFF", compression=packing)
        name = f"tiff_{(packing or 'plain').removeprefix('tiff_')}.tif"
        yield from cuts(name, data, [3, 6, 9, *(len(data) * part // 8 for part in range(2, 8))], refused=NOT_READ, outcome="refused", why="what is cut off is never answered")


def cases() -> Iterator[Case]:
    for part in (kinds, lies, bombs, damage):
        yield from part()
