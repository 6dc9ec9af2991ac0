"""WebP, and files that are none of the formats, or several."""

import struct
from collections.abc import Iterator

from make_fixtures import alpha_ramp, encoded, photo, with_orientation
from torture.case import TOO_LARGE, UNSUPPORTED, Case, cuts


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def extended(flags: int, size: tuple[int, int]) -> bytes:
    return chunk(b"VP8X", bytes([flags, 0, 0, 0]) + (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little"))


def kinds() -> Iterator[Case]:
    chelsea = photo("chelsea", (41, 29))
    rgba = chelsea.copy()
    rgba.putalpha(alpha_ramp(rgba.size))
    for quality in (1, 50, 100):
        yield Case(f"webp_lossy_q{quality}.webp", encoded(chelsea, "WEBP", quality=quality))
        yield Case(f"webp_lossy_alpha_q{quality}.webp", encoded(rgba, "WEBP", quality=quality, alpha_quality=quality))
    for method in range(7):
        yield Case(f"webp_lossless_m{method}.webp", encoded(chelsea, "WEBP", lossless=True, method=method))
        yield Case(f"webp_lossless_alpha_m{method}.webp", encoded(rgba, "WEBP", lossless=True, method=method, exact=True))
    for colors in (2, 4, 16, 200):
        yield Case(f"webp_lossless_{colors}_colors.webp", encoded(chelsea.quantize(colors).convert("RGB"), "WEBP", lossless=True))
    for size in [(1, 1), (1, 37), (37, 1), (16, 16), (17, 3)]:
        for lossless in (False, True):
            name = f"webp_{'lossless' if lossless else 'lossy'}_{size[0]}x{size[1]}.webp"
            yield Case(name, encoded(photo("coffee", size), "WEBP", lossless=lossless))
    for value in range(10):
        yield Case(f"webp_orientation_{value}.webp", encoded(chelsea, "WEBP", lossless=True, exif=with_orientation(value)))
    yield Case("webp_profile.webp", encoded(chelsea, "WEBP", lossless=True, icc_profile=bytes(200)))
    frames = [chelsea, photo("coffee", (41, 29))]
    for lossless in (False, True):
        name = f"webp_animated_{'lossless' if lossless else 'lossy'}.webp"
        yield Case(name, encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=lossless))


def lies() -> Iterator[Case]:
    chelsea = photo("chelsea", (41, 29))
    plain = encoded(chelsea, "WEBP", lossless=True)
    image = plain[12:]
    yield Case("webp_trailing.webp", plain + bytes(500))
    yield Case("webp_length_too_small.webp", plain[:4] + struct.pack("<I", 20) + plain[8:])
    yield Case("webp_length_too_large.webp", plain[:4] + struct.pack("<I", 2**31) + plain[8:])
    yield Case("webp_length_none.webp", plain[:4] + bytes(4) + plain[8:])
    yield Case("webp_unknown_chunk.webp", riff(extended(0, (41, 29)), chunk(b"teSt", b"any"), image))
    yield Case("webp_canvas_wider.webp", riff(extended(0, (50, 29)), image))
    yield Case("webp_canvas_smaller.webp", riff(extended(0, (10, 10)), image))
    yield Case("webp_canvas_largest.webp", riff(extended(0, (1 << 24, 1 << 24)), image), TOO_LARGE + "|invalid_image", "refused", "more than the server's limit")
    yield Case("webp_canvas_alone.webp", riff(extended(0, (41, 29))))
    yield Case("webp_says_animated.webp", riff(extended(2, (41, 29)), image))
    yield Case("webp_without_image.webp", riff())
    yield Case("webp_signature_of_image.webp", plain[:20] + b"\x2e" + plain[21:])
    yield Case("webp_noise.webp", plain[:30] + bytes(index * 37 & 255 for index in range(len(plain) - 30)))
    for name, options in [("webp_lossless", {"lossless": True}), ("webp_lossy", {"quality": 80})]:
        data = encoded(chelsea, "WEBP", **options)
        yield from cuts(f"{name}.webp", data, [8, 12, 16, 20, 25, 30, *(len(data) * part // 8 for part in range(1, 8)), len(data) - 2], refused="invalid_image|unsupported_image", outcome="refused", why="what is cut off is never answered")


def others() -> Iterator[Case]:
    png = encoded(photo("coffee", (20, 10)), "PNG")
    jpeg = encoded(photo("coffee", (20, 10)), "JPEG")
    yield Case("empty.png", b"", "empty_body")
    for name, data in {
        "one_byte.png": b"\x89",
        "zeros.png": bytes(4000),
        "text.jpg": b"this is no picture" * 40,
        "page.png": b"<!DOCTYPE html><html></html>",
        "svg.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "postscript.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "pdf.pdf": b"%PDF-1.7\n",
        "zip.zip": b"PK\x03\x04" + bytes(60),
        "gzip.gz": b"\x1f\x8b\x08" + bytes(30),
        "riff_of_sound.webp": b"RIFF\x24\0\0\0WAVEfmt " + bytes(30),
        "ico.ico": encoded(photo("coffee", (16, 16)), "ICO"),
        "ppm.ppm": encoded(photo("coffee", (16, 16)), "PPM"),
        "tga.tga": encoded(photo("coffee", (16, 16)), "TGA"),
        "jpeg_2000.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "avif.avif": b"\0\0\0\x1cftypavif" + bytes(40),
        "psd.psd": b"8BPS\0\1" + bytes(30),
    }.items():
        yield Case(name, data, UNSUPPORTED, "refused", "none of the formats that are read")
    yield Case("png_called_jpeg.jpg", png)
    yield Case("jpeg_called_png.png", jpeg)
    yield Case("png_then_jpeg.png", png + jpeg)
    yield Case("jpeg_then_zip.jpg", jpeg + b"PK\x03\x04" + bytes(60))
    yield Case("png_in_gif.gif", b"GIF89a" + png)


def cases() -> Iterator[Case]:
    for part in (kinds, lies, others):
        yield from part()
