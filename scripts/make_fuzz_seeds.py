#!/usr/bin/env python3
"""Makes what the fuzz targets begin with, from this checkout alone; needs numpy, Pillow and onnx (`make python`).

    make_fuzz_seeds.py FOLDER

Writes FOLDER/TARGET/NAME, as each target's file in fuzz/fuzz_targets describes its input.
"""

import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy
import onnx
from PIL import Image

CHECKOUT = Path(__file__).resolve().parents[1]
SIZE = (22, 14)
BLAKE3_OF_NOTHING = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
Seeds = Iterator[tuple[str, bytes]]


def drawn(mode: str) -> Image.Image:
    """Waves of colour, another in each corner."""
    across, down = numpy.meshgrid(numpy.linspace(0, 1, SIZE[0]), numpy.linspace(0, 1, SIZE[1]))
    channels = [across, down, 1 - across, numpy.sin(9 * across * down) ** 2]
    pixels = Image.fromarray((numpy.stack(channels, axis=2) * 255).astype(numpy.uint8), "RGBA")
    if mode == "I;16":
        return Image.fromarray((across * 65535).astype(numpy.uint16))
    return pixels.convert("RGB").convert(mode) if mode != "RGBA" else pixels


def encoded(mode: str, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    drawn(mode).save(file, file_format, **options)
    return file.getvalue()


def files() -> Seeds:
    """Pictures of every format, by traits."""
    for quality in (30, 95):
        for subsampling in (0, 1, 2):
            options = {"quality": quality, "subsampling": subsampling}
            yield f"jpeg_{quality}_{subsampling}", encoded("RGB", "JPEG", **options)
    yield "jpeg_progressive", encoded("RGB", "JPEG", progressive=True)
    yield "jpeg_restarts", encoded("RGB", "JPEG", restart_marker_blocks=1)
    yield "jpeg_optimised", encoded("RGB", "JPEG", optimize=True)
    yield "jpeg_grey", encoded("L", "JPEG")
    yield "jpeg_cmyk", encoded("CMYK", "JPEG")
    for orientation in (3, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for name in ("JPEG", "PNG", "WEBP", "TIFF"):
            yield f"{name.lower()}_orientation_{orientation}", encoded("RGB", name, exif=exif)
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
        yield f"png_{mode.replace(';', '')}", encoded(mode, "PNG")
    for mode in ("RGB", "RGBA", "L", "P", "1"):
        yield f"bmp_{mode}", encoded(mode, "BMP")
    for mode in ("P", "L", "1"):
        yield f"gif_{mode}", encoded(mode, "GIF")
    yield "gif_transparent", encoded("P", "GIF", transparency=3)
    animated = {"save_all": True, "append_images": [drawn("RGB").rotate(180)]}
    for name in ("GIF", "WEBP", "PNG", "TIFF"):
        yield f"{name.lower()}_animated", encoded("RGB", name, **animated)
    for mode in ("RGB", "RGBA"):
        yield f"webp_{mode}", encoded(mode, "WEBP")
        yield f"webp_lossless_{mode}", encoded(mode, "WEBP", lossless=True)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"tiff_{compression}", encoded("RGB", "TIFF", compression=compression)
    for mode in ("L", "1", "CMYK", "RGBA", "I;16"):
        yield f"tiff_{mode.replace(';', '')}", encoded(mode, "TIFF")


def picture() -> Seeds:
    for number, (name, file) in enumerate(files()):
        yield name, bytes([number * 37 % 256]) + file


def pictures_body() -> Seeds:
    file = encoded("L", "PNG")
    text = base64.b64encode(file).decode()
    for name, said in [
        ("one", {"image": text}),
        ("several", {"images": [text, text]}),
        ("url", {"image": f"data:image/png;base64,{text}"}),
        ("both", {"image": text, "images": []}),
    ]:
        yield name, b"\x40application/json\n" + json.dumps(said).encode()
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    option = b'--x\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n5\r\n'
    form = b"multipart/form-data; boundary=x\n"
    yield "form", b"\xff" + form + part + file + b"\r\n--x--\r\n"
    yield "form_of_two", b"\x07" + form + (part + file + b"\r\n") * 2 + b"--x--\r\n"
    yield "form_with_option", b"\x07" + form + option + b"--x--\r\n"
    yield "raw", b"\x03image/png\n" + file


def manifest() -> Seeds:
    for path in sorted(CHECKOUT.glob("models/*/1/model.toml")) + sorted(CHECKOUT.glob("tests/data/*/*/1/model.toml")):
        yield path.parents[1].name, path.read_bytes()
    text = (CHECKOUT / "models/ce_fcos_bccd/1/model.toml").read_text()
    before = text.split("[head]")[0]
    boxes = 'kind = "boxes"\nboxes = "b"\nclasses = "c"\nscores = "s"\nmasks = "m"\nmask_frame = "input"\n'
    rest = '[batching]\nmax_size = 4\n[runtime]\nproviders = ["cuda", "cpu"]\n[runtime.cuda]\ndevice_id = 0\n'
    yield "boxes", f"{before}[head]\n{boxes}{rest}".encode()
    yield "yolox", f'{before}[head]\nkind = "yolox"\noutput = "o"\nstrides = [8, 16]\n'.encode()


def settings() -> Seeds:
    lines = ["http_addr = '127.0.0.1:1'", "max_body_bytes = 5", "load_model = ['a', 'b']", "single_port = true"]
    lines += ["default_version = 'a=2'", "tls_cert = 'x'", "trace_sampling = 0.5", "providers = ['cpu']"]
    for number in range(1, len(lines) + 1):
        yield f"configuration_{number}", b"\0" + "\n".join(lines[:number]).encode()
    hash_text = "0123456789abcdef" * 4
    yield "keys", f"\1# mine\ncamera infer+metrics {hash_text} 20/s\nroot admin {hash_text} # all\n".encode()
    yield "pasted", f"\1camera infer cenet_{'x' * 43}\n".encode()


def networks() -> Seeds:
    """The small networks without the bytes of their weights: what is looked at is the graph."""
    for name in ("models/tiny_ce", "quantized/tiny_ce_int8"):
        model = onnx.load(CHECKOUT / "tests/data" / name / "1/model.onnx")
        for tensor in model.graph.initializer:
            if numpy.prod(tensor.dims) > 1:
                tensor.raw_data = b""
        yield Path(name).name, model.SerializeToString()


def plan() -> Seeds:
    for name, network in networks():
        yield name, b"\0" + network
    generator = numpy.random.default_rng(1)
    for number in range(8):
        yield f"graph_{number}", bytes([1 + 2 * (number % 2)]) + generator.bytes(160)


def plan_file() -> Seeds:
    coverage = {"blocked": 3, "quantized": 0, "with_add": 2, "with_relu": 3, "plain": 1}
    # of no bytes, and BLAKE3 of these
    graph = {"bytes": 0, "sum": list(bytes.fromhex(BLAKE3_OF_NOTHING))}
    weights = [
        ["w", {"numbers": kind, "shape": [2, 2]}, graph | {"bytes": size}] for kind, size in (("F32", 16), ("I8", 4))
    ]
    for number in range(3):
        head = {"coverage": coverage, "graph": graph, "weights": weights[:number]}
        yield f"plan_{number}", json.dumps(head).encode() + b"\n" + bytes(16)
    empty = ["none", {"numbers": "U8", "shape": [0]}, graph]
    yield "plan_empty", json.dumps({"coverage": coverage, "graph": graph, "weights": [empty]}).encode() + b"\n"


def detection() -> Seeds:
    generator = numpy.random.default_rng(2)
    for number in range(8):
        yield f"outputs_{number}", generator.bytes(600)


def main() -> None:
    folder = Path(sys.argv[1])
    for target in (picture, pictures_body, manifest, settings, detection, plan, plan_file):
        place = folder / target.__name__
        place.mkdir(parents=True, exist_ok=True)
        for name, seed in target():
            (place / name).write_bytes(seed)


if __name__ == "__main__":
    main()
