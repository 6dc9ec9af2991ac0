"""TIFF as other programs write it: depths, inverted grey, opacity, fax and predictors; tags of other kinds and counts; bombs."""

import struct
import zlib
from collections.abc import Iterator

import numpy
from make_fixtures import alpha_ramp, encoded, photo
from torture.case import UNSUPPORTED, Case
from torture.tiff import NOT_READ, directory, plain, written

SHORT, LONG = 3, 4
WIDTH, HEIGHT, DEPTH, PACKING, PHOTOMETRIC, OFFSETS, CHANNELS, ROWS, COUNTS = 256, 257, 258, 259, 262, 273, 277, 278, 279
DEFLATE = 8
NO_OPACITY_IN_GREY = "grey with opacity isn't decoded"


def grey() -> numpy.ndarray:
    return numpy.asarray(photo("astronaut", (45, 31)).convert("L"))


def color() -> numpy.ndarray:
    return numpy.asarray(photo("chelsea", (45, 31)))


def strip(data: bytes, size: tuple[int, int] = (45, 31), depth: int = 8, order: str = "<", **changed) -> bytes:
    """Grey in one strip at 8; `changed` names tags as `t256`."""
    tags = {WIDTH: (LONG, 1, size[0]), HEIGHT: (LONG, 1, size[1]), DEPTH: (SHORT, 1, depth), PACKING: (SHORT, 1, 1), PHOTOMETRIC: (SHORT, 1, 1)}
    tags |= {OFFSETS: (LONG, 1, 8), CHANNELS: (SHORT, 1, 1), ROWS: (LONG, 1, size[1]), COUNTS: (LONG, 1, len(data))}
    tags |= {int(tag[1:]): entry for tag, entry in changed.items()}
    return directory({tag: entry for tag, entry in tags.items() if entry is not None}, data, order=order)


def packed(depth: int) -> bytes:
    bits = numpy.unpackbits((grey() >> 8 - depth)[..., None], axis=-1)[..., 8 - depth :]
    return numpy.packbits(bits.reshape(31, -1), axis=1).tobytes()


def depths() -> Iterator[Case]:
    for depth in [1, 2, 4, 8]:
        for name, photometric in {"grey": 1, "inverted": 0}.items():
            for order in "<>":
                data = strip(packed(depth), depth=depth, order=order, t262=(SHORT, 1, photometric))
                rule = (UNSUPPORTED, "refused", "grey of 2 and 4 bits isn't decoded") if depth in (2, 4) else ()
                yield Case(f"tiff_{name}_of_{depth}_{'little' if order == '<' else 'big'}.tif", data, *rule)


def opacities() -> Iterator[Case]:
    opacity = numpy.asarray(alpha_ramp((45, 31)))
    for kind in ["unassalpha", "assocalpha", "unspecified"]:
        pixels = numpy.dstack([color(), opacity])
        yield Case(f"tiff_fourth_channel_{kind}.tif", written(pixels, photometric="rgb", extrasamples=[kind]))
        deep = pixels.astype(numpy.uint16) * 257
        yield Case(f"tiff_fourth_channel_{kind}_16.tif", written(deep, photometric="rgb", extrasamples=[kind]), NOT_READ)
        two = numpy.dstack([grey(), opacity])
        yield Case(f"tiff_second_channel_{kind}.tif", written(two, photometric="minisblack", extrasamples=[kind], planarconfig="contig"), UNSUPPORTED, "refused", NO_OPACITY_IN_GREY)
    five = numpy.dstack([color(), opacity, opacity])
    yield Case("tiff_five_channels.tif", written(five, photometric="rgb", extrasamples=["unspecified"] * 2))


def packings() -> Iterator[Case]:
    image, opacity = photo("chelsea", (45, 31)), alpha_ramp((45, 31))
    rgba = image.copy()
    rgba.putalpha(opacity)
    for packing in ["tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"]:
        for mode in ["RGB", "RGBA", "L"]:
            data = encoded(rgba.convert(mode), "TIFF", compression=packing, tiffinfo={317: 2})
            yield Case(f"tiff_{packing.removeprefix('tiff_')}_{mode.lower()}_predicted.tif", data)
    deep = color().astype(numpy.uint16) * 257 ^ 91
    for order in "<>":
        name = f"tiff_deflate_16_{'little' if order == '<' else 'big'}.tif"
        yield Case(name, written(deep, photometric="rgb", compression="zlib", byteorder=order))
    yield Case("tiff_fax_group4.tif", encoded(image.convert("1"), "TIFF", compression="group4"))
    for packing, mode in {"group3": "1", "tiff_ccitt": "1", "zstd": "RGB", "lzma": "RGB"}.items():
        data = encoded(image.convert(mode), "TIFF", compression=packing)
        yield Case(f"tiff_packed_by_{packing}.tif", data, UNSUPPORTED, "refused", "this packing isn't decoded")
    yield Case("tiff_jpeg_grey.tif", encoded(image.convert("L"), "TIFF", compression="jpeg"))
    yield Case("tiff_lab.tif", encoded(image.convert("LAB"), "TIFF"), UNSUPPORTED, "refused", "Lab isn't decoded")
    for strips in [1, 4, 31]:
        yield Case(f"tiff_strips_of_{strips}.tif", written(color(), photometric="rgb", compression="zlib", rowsperstrip=strips))
    for tile in [(16, 16), (32, 48)]:
        yield Case(f"tiff_tiles_deflated_{tile[0]}x{tile[1]}.tif", written(color(), photometric="rgb", compression="zlib", tile=tile))
    yield Case("tiff_tiles_grey.tif", written(grey(), photometric="minisblack", tile=(16, 16)))


def tags() -> Iterator[Case]:
    data = grey().tobytes()
    order = "<"
    yield Case("tiff_orientation_long.tif", strip(data, t274=(LONG, 1, 6)))
    yield Case("tiff_orientation_of_two.tif", strip(data, t274=(SHORT, 2, 6)))
    yield Case("tiff_short_sizes.tif", strip(data, t256=(SHORT, 1, 45), t257=(SHORT, 1, 31)))
    yield Case("tiff_byte_sizes.tif", strip(data, t256=(1, 1, 45), t257=(1, 1, 31)), outcome="decoded", why="a number of one byte is a number", pixels_of=strip(data))
    yield Case("tiff_rows_all.tif", strip(data, t278=(LONG, 1, 2**32 - 1)))
    yield Case("tiff_rows_not_said.tif", strip(data, t278=None))
    yield Case("tiff_packing_not_said.tif", strip(data, t259=None))
    yield Case("tiff_channels_not_said.tif", strip(data, t277=None))
    yield Case("tiff_strip_of_more.tif", strip(data + bytes(500)))
    for count in [2, 31]:
        yield Case(f"tiff_offsets_of_{count}.tif", strip(data, t273=(LONG, count, 8)), NOT_READ, "refused", "offsets and lengths are as many")
    # the header's bytes as the picture
    yield Case("tiff_strip_at_0.tif", strip(data, t273=(LONG, 1, 0)))
    for name, tag in {"fill_order": 266, "planes": 284, "predictor": 317, "format": 339}.items():
        yield Case(f"tiff_{name}_1.tif", strip(data, **{f"t{tag}": (SHORT, 1, 1)}))
        for value in [2, 9]:
            if (name, value) not in (("planes", 2), ("fill_order", 9)):
                wrong = strip(data, **{f"t{tag}": (SHORT, 1, value)})
                yield Case(f"tiff_{name}_{value}.tif", wrong, NOT_READ, "refused", "nothing is guessed")
    for packing in [5, 7, 8, 32773]:
        yield Case(f"tiff_says_packing_{packing}.tif", strip(data, t259=(SHORT, 1, packing)), NOT_READ)
    for photometric in [2, 3, 4, 5, 6, 8]:
        wrong = strip(data, t262=(SHORT, 1, photometric))
        yield Case(f"tiff_says_photometric_{photometric}.tif", wrong, NOT_READ, "refused", "nothing is guessed")
    for magic in [0, 41, 43, 44]:
        whole = plain()
        yield Case(f"tiff_magic_{magic}.tif", whole[:2] + struct.pack(order + "H", magic) + whole[4:], NOT_READ)
    yield Case("tiff_order_mixed.tif", b"MM" + plain()[2:], UNSUPPORTED)


def bombs() -> Iterator[Case]:
    deflater = zlib.compressobj(9)
    zeros = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(64)) + deflater.flush()
    yield Case("tiff_bomb_in_strip.tif", strip(zeros, t259=(SHORT, 1, DEFLATE)))
    tile = {"t322": (LONG, 1, 65520), "t323": (LONG, 1, 65520), "t324": (LONG, 1, 8), "t325": (LONG, 1, len(zeros))}
    yield Case("tiff_bomb_of_a_tile.tif", strip(zeros, t259=(SHORT, 1, DEFLATE), t273=None, t278=None, t279=None, **tile), outcome="decoded", why="of a tile no more is read than the picture shows", pixels_of=strip(bytes(45 * 31)))


def cases() -> Iterator[Case]:
    for part in (depths, opacities, packings, tags, bombs):
        yield from part()
