#!/usr/bin/env python3
"""Draws the pictures that the parity tests read, with Pillow's answers beside them.

    make_fixtures.py FOLDER

Writes into FOLDER the pictures (named by format and trait), for each of them `decoded/NAME.png` (what
`ImageOps.exif_transpose(Image.open(f)).convert("RGB")` gives), for some of them `resized/NAME.SPEC.png` (resized and cropped as
torchvision does it on PIL pictures, still uint8), and last `manifest.json`, which lists them all.

The photos come with scikit-image: astronaut, hubble (NASA, public domain), chelsea, coffee, rocket, retina (CC0).
"""

import io
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy
import simplejpeg
import skimage.data
import tifffile
from PIL import Image, ImageOps

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Named as in model.toml; `size` is [height, width].
SPECS = {
    "imagenet": {"size": [224, 224], "filter": "bilinear", "resize": {"mode": "shorter_side", "to": 256}},
    "bicubic": {"size": [224, 224], "filter": "bicubic", "resize": {"mode": "shorter_side", "to": 232}},
    "lanczos": {"size": [299, 299], "filter": "lanczos", "resize": {"mode": "shorter_side", "to": 342}},
    "nearest": {"size": [224, 224], "filter": "nearest", "resize": {"mode": "shorter_side", "to": 256}},
    "padded": {"size": [225, 420], "filter": "bilinear", "resize": {"mode": "shorter_side", "to": 200}},
    "oblong": {"size": [129, 200], "filter": "bilinear", "resize": {"mode": "shorter_side", "to": 211}},
    "stretch": {"size": [96, 160], "filter": "bilinear", "resize": {"mode": "stretch"}},
    "stretch_lanczos": {"size": [331, 123], "filter": "lanczos", "resize": {"mode": "stretch"}},
    "stretch_nearest": {"size": [200, 200], "filter": "nearest", "resize": {"mode": "stretch"}},
    "letterbox": {
        "size": [320, 320],
        "filter": "bilinear",
        "resize": {"mode": "letterbox", "align": "center", "fill": [114, 114, 114]},
    },
    "letterbox_corner": {
        "size": [256, 416],
        "filter": "bicubic",
        "resize": {"mode": "letterbox", "align": "top_left", "fill": [0, 128, 255]},
    },
    "letterbox_odd": {
        "size": [213, 377],
        "filter": "lanczos",
        "resize": {"mode": "letterbox", "align": "center", "fill": [255, 255, 255]},
    },
    "stretch_large": {"size": [643, 481], "filter": "bicubic", "resize": {"mode": "stretch"}},
    "narrow_crop": {"size": [61, 17], "filter": "bicubic", "resize": {"mode": "shorter_side", "to": 67}},
    "one_pixel": {"size": [1, 1], "filter": "lanczos", "resize": {"mode": "stretch"}},
}
ALL_SPECS = list(SPECS)
FEW_SPECS = ["imagenet", "padded", "letterbox"]


def photo(name: str, size: tuple[int, int]) -> Image.Image:
    """A photo of scikit-image in RGB, resized to `size` (width, height)."""
    return Image.fromarray(getattr(skimage.data, name)()).convert("RGB").resize(size, Image.Resampling.LANCZOS)


def noise(size: tuple[int, int]) -> Image.Image:
    """Independent values, the hardest case for rounding."""
    return Image.fromarray(numpy.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), numpy.uint8))


def encoded(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def with_orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def alpha_ramp(size: tuple[int, int]) -> Image.Image:
    """An alpha channel that runs from transparent to opaque."""
    return Image.linear_gradient("L").resize(size)


def png(pixels: numpy.ndarray, color_type: int) -> bytes:
    """A PNG of 16-bit samples `[height, width, channels]`, which Pillow can't write."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def interlaced_png(image: Image.Image) -> bytes:
    """An Adam7 PNG of an RGB picture, which Pillow can't write."""
    pixels = numpy.asarray(image)
    passes = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    data = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")


def deep(image: Image.Image, channels: int) -> numpy.ndarray:
    """A picture as 16-bit samples that use the lower byte too."""
    pixels = numpy.asarray(image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])).astype(numpy.uint16) * 257
    noise = numpy.random.default_rng(7).integers(-128, 128, pixels.shape)
    return numpy.clip(pixels + noise, 0, 65535).astype(numpy.uint16)


def dark(image: Image.Image) -> numpy.ndarray:
    """16-bit grey of a sensor that fills only the lowest 10 bits."""
    return (numpy.asarray(image.convert("L")).astype(numpy.uint16) * 4).astype(numpy.uint16)


def ycck_jpeg(image: Image.Image) -> bytes:
    """A JPEG as Photoshop writes CMYK: Y, Cb, Cr and K, marked by Adobe's segment with transform 2."""
    ink = numpy.asarray(image.convert("CMYK").copy())
    black = numpy.full(ink.shape[:2], 30, numpy.uint8)
    luma_chroma = numpy.asarray(Image.fromarray(ink[:, :, :3], "RGB").convert("YCbCr"))
    stored = numpy.dstack([luma_chroma, 255 - black])
    cmyk = Image.fromarray(255 - stored, "CMYK")
    return encoded(cmyk, "JPEG", quality=92).replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\x02")


def plain_cmyk_jpeg(image: Image.Image) -> bytes:
    """A CMYK JPEG without Adobe's segment: its inks are not inverted."""
    data = encoded(image.convert("CMYK"), "JPEG", quality=92)
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) :]


def tiff(pixels: numpy.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def jpegs() -> Iterator[tuple[str, bytes, list[str]]]:
    coffee = photo("coffee", (500, 375))
    yield "jpeg_420_q90.jpg", encoded(coffee, "JPEG", quality=90, subsampling="4:2:0"), ALL_SPECS
    yield "jpeg_422_q75.jpg", encoded(photo("chelsea", (451, 300)), "JPEG", quality=75, subsampling="4:2:2"), FEW_SPECS
    yield "jpeg_444_q95.jpg", encoded(photo("astronaut", (512, 512)), "JPEG", quality=95, subsampling="4:4:4"), FEW_SPECS
    for sampling in ["411", "440"]:
        pixels = numpy.ascontiguousarray(numpy.asarray(photo("rocket", (333, 222))))
        yield f"jpeg_{sampling}_q85.jpg", simplejpeg.encode_jpeg(pixels, 85, "RGB", sampling), []
    yield "jpeg_420_q30.jpg", encoded(photo("rocket", (640, 427)), "JPEG", quality=30), FEW_SPECS
    yield "jpeg_420_q60_odd.jpg", encoded(photo("chelsea", (137, 91)), "JPEG", quality=60), FEW_SPECS
    yield "jpeg_420_restarts.jpg", encoded(coffee, "JPEG", quality=85, restart_marker_rows=1), []
    yield "jpeg_grey.jpg", encoded(photo("astronaut", (300, 400)).convert("L"), "JPEG", quality=88), []
    for sampling in ["4:2:0", "4:4:4"]:
        name = f"jpeg_progressive_{sampling.replace(':', '')}.jpg"
        yield name, encoded(photo("retina", (700, 620)), "JPEG", quality=80, progressive=True, subsampling=sampling), []
    yield "jpeg_cmyk_adobe.jpg", encoded(coffee.convert("CMYK"), "JPEG", quality=92), []
    yield "jpeg_cmyk_plain.jpg", plain_cmyk_jpeg(coffee), []
    yield "jpeg_ycck.jpg", ycck_jpeg(coffee), []
    yield "jpeg_rgb.jpg", encoded(coffee, "JPEG", quality=90, keep_rgb=True), []
    yield "jpeg_tall.jpg", encoded(photo("coffee", (30, 500)), "JPEG", quality=90), ALL_SPECS
    yield "jpeg_12mp.jpg", encoded(photo("hubble_deep_field", (4000, 3000)), "JPEG", quality=85), ["imagenet", "letterbox"]
    for value in range(2, 9):
        data = encoded(photo("chelsea", (200, 120)), "JPEG", quality=90, exif=with_orientation(value))
        yield f"jpeg_orientation_{value}.jpg", data, FEW_SPECS if value == 6 else []


def pngs() -> Iterator[tuple[str, bytes, list[str]]]:
    chelsea = photo("chelsea", (301, 200))
    size = chelsea.size
    yield "png_rgb.png", encoded(chelsea, "PNG"), ALL_SPECS
    yield "png_interlaced.png", interlaced_png(chelsea), []
    yield "png_grey.png", encoded(chelsea.convert("L"), "PNG"), []
    yield "png_one_bit.png", encoded(chelsea.convert("1"), "PNG"), []
    for colors in [4, 16, 256]:
        yield f"png_palette_{colors}.png", encoded(chelsea.quantize(colors), "PNG"), []
    yield "png_palette_transparent.png", encoded(chelsea.quantize(64), "PNG", transparency=bytes(range(0, 256, 4))), []
    yield "png_rgb_color_key.png", encoded(chelsea, "PNG", transparency=chelsea.getpixel((5, 5))), []
    rgba = chelsea.copy()
    rgba.putalpha(alpha_ramp(size))
    yield "png_rgba.png", encoded(rgba, "PNG"), []
    grey_alpha = chelsea.convert("L")
    grey_alpha.putalpha(alpha_ramp(size))
    yield "png_grey_alpha.png", encoded(grey_alpha, "PNG"), []
    yield "png_grey_16.png", png(deep(chelsea, 1), 0), []
    yield "png_grey_16_dark.png", png(dark(chelsea), 0), []
    yield "png_rgb_16.png", png(deep(chelsea, 3), 2), []
    yield "png_rgba_16.png", png(deep(rgba, 4), 6), []
    yield "png_orientation_6.png", encoded(chelsea, "PNG", exif=with_orientation(6)), []
    yield "png_one_column.png", encoded(photo("coffee", (1, 300)), "PNG"), ["imagenet", "stretch", "letterbox"]
    yield "png_one_row.png", encoded(photo("coffee", (300, 1)), "PNG"), ["imagenet", "bicubic", "letterbox"]
    yield "png_one_pixel.png", encoded(photo("coffee", (1, 1)), "PNG"), ALL_SPECS
    # where the height is more than twice the width, Pillow shrinks the columns first
    for height in [540, 541, 600]:
        yield f"png_portrait_{height}.png", encoded(photo("astronaut", (270, height)), "PNG"), ALL_SPECS
    yield "png_tiny.png", encoded(photo("coffee", (7, 5)), "PNG"), ALL_SPECS
    yield "png_odd.png", encoded(photo("hubble_deep_field", (1023, 511)), "PNG"), ALL_SPECS
    yield "png_very_wide.png", encoded(photo("coffee", (60_000, 2)), "PNG"), ["stretch", "stretch_lanczos", "letterbox"]
    yield "png_very_tall.png", encoded(photo("coffee", (2, 60_000)), "PNG"), ["stretch", "stretch_lanczos", "letterbox"]
    yield "png_noise.png", encoded(noise((640, 480)), "PNG"), ALL_SPECS
    frames = [photo("rocket", (160, 110)), photo("coffee", (160, 110))]
    yield "png_animated.png", encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]), []


def others() -> Iterator[tuple[str, bytes, list[str]]]:
    astronaut = photo("astronaut", (260, 260))
    frames = [photo("rocket", (160, 110)), photo("coffee", (160, 110))]
    rgba = astronaut.copy()
    rgba.putalpha(alpha_ramp(rgba.size))
    yield "webp_lossy.webp", encoded(photo("coffee", (500, 375)), "WEBP", quality=80), FEW_SPECS
    yield "webp_lossy_odd.webp", encoded(photo("chelsea", (201, 133)), "WEBP", quality=50), []
    yield "webp_lossy_alpha.webp", encoded(rgba, "WEBP", quality=80), []
    yield "webp_lossless.webp", encoded(astronaut, "WEBP", lossless=True), []
    yield "webp_lossless_alpha.webp", encoded(rgba, "WEBP", lossless=True, exact=True), []
    yield "webp_orientation_8.webp", encoded(astronaut.crop((0, 0, 260, 100)), "WEBP", lossless=True, exif=with_orientation(8)), []
    yield "webp_animated.webp", encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True), []
    yield "gif_animated.gif", encoded(frames[0].quantize(128), "GIF", save_all=True, append_images=frames[1:]), []
    yield "gif_grey.gif", encoded(astronaut.convert("L"), "GIF"), []
    yield "gif_transparent.gif", encoded(astronaut.quantize(32), "GIF", transparency=3), []
    yield "gif_interlaced.gif", encoded(astronaut.quantize(200), "GIF", interlace=True), []
    for mode in ["RGB", "L", "1", "RGBA"]:
        yield f"bmp_{mode.lower()}.bmp", encoded(rgba.convert(mode), "BMP"), []
    yield "bmp_palette.bmp", encoded(astronaut.quantize(90), "BMP"), []
    yield "tiff_lzw.tif", encoded(astronaut, "TIFF", compression="tiff_lzw"), []
    yield "tiff_deflate.tif", encoded(astronaut, "TIFF", compression="tiff_adobe_deflate"), []
    yield "tiff_packbits_grey.tif", encoded(astronaut.convert("L"), "TIFF", compression="packbits"), []
    yield "tiff_rgba.tif", encoded(rgba, "TIFF"), []
    yield "tiff_one_bit.tif", encoded(astronaut.convert("1"), "TIFF"), []
    yield "tiff_palette.tif", encoded(astronaut.quantize(200), "TIFF"), []
    yield "tiff_cmyk.tif", encoded(astronaut.convert("CMYK"), "TIFF"), []
    yield "tiff_orientation_5.tif", encoded(astronaut.crop((0, 0, 260, 90)), "TIFF", exif=with_orientation(5)), []
    yield "tiff_grey_16.tif", tiff(deep(astronaut, 1), photometric="minisblack"), []
    yield "tiff_grey_16_big_endian.tif", tiff(dark(astronaut), photometric="minisblack", byteorder=">"), []
    yield "tiff_rgb_16.tif", tiff(deep(astronaut, 3), photometric="rgb"), []
    yield "tiff_jpeg.tif", encoded(astronaut, "TIFF", compression="jpeg", quality=90), []


def reference(data: bytes) -> Image.Image:
    """What Pillow makes of a file: upright, in RGB."""
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


def preprocess(image: Image.Image, spec: dict) -> Image.Image:
    """Resized and cropped as a model's `[preprocess]` says, in uint8."""
    resize, size, kernel = spec["resize"], spec["size"], FILTERS[spec["filter"]]
    if resize["mode"] == "shorter_side":
        return center_crop(resize_shorter_side(image, resize["to"], kernel), *size)
    if resize["mode"] == "stretch":
        return image.resize((size[1], size[0]), kernel)
    return letterbox(image, *size, kernel, resize["align"], tuple(resize["fill"]))


def resize_shorter_side(image: Image.Image, to: int, kernel: Image.Resampling) -> Image.Image:
    """torchvision's `Resize(to)`."""
    short, long = sorted(image.size)
    length = int(to * long / short)
    return image.resize((to, length) if image.width <= image.height else (length, to), kernel)


def center_crop(image: Image.Image, height: int, width: int) -> Image.Image:
    """torchvision's `CenterCrop((height, width))`, which pads with black where the picture is smaller."""
    pad_x, pad_y = max(width - image.width, 0), max(height - image.height, 0)
    padded = Image.new("RGB", (image.width + pad_x, image.height + pad_y))
    padded.paste(image, (pad_x // 2, pad_y // 2))
    top, left = round((padded.height - height) / 2.0), round((padded.width - width) / 2.0)
    return padded.crop((left, top, left + width, top + height))


def letterbox(image: Image.Image, height: int, width: int, kernel: Image.Resampling, align: str, fill: tuple) -> Image.Image:
    """As large as fits into the size, the rest filled; an odd pixel of the rest goes right and below."""
    scale = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    offset = ((width - inner[0]) // 2, (height - inner[1]) // 2) if align == "center" else (0, 0)
    canvas = Image.new("RGB", (width, height), fill)
    canvas.paste(image.resize(inner, kernel), offset)
    return canvas


def main(folder: Path) -> None:
    for name in ["decoded", "resized"]:
        (folder / name).mkdir(parents=True, exist_ok=True)
    pictures = []
    for source in [jpegs, pngs, others]:
        for name, data, specs in source():
            (folder / name).write_bytes(data)
            decoded = reference(data)
            decoded.save(folder / "decoded" / f"{name}.png", compress_level=1)
            for spec in specs:
                preprocess(decoded, SPECS[spec]).save(folder / "resized" / f"{name}.{spec}.png", compress_level=1)
            pictures.append({"file": name, "width": decoded.width, "height": decoded.height, "specs": specs})
    manifest = {"pillow": Image.__version__, "specs": SPECS, "pictures": pictures}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    print(f"{len(pictures)} pictures in {folder}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
