"""Bad requests over HTTP: each is refused with the status and the stable code that docs/errors.md gives it."""

import json
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from asking import code_of
from subject import DETECTOR, MAX_BODY_BYTES, STEADY
from wire import expect
from world import World

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


class Bad(NamedTuple):
    """A request and its due."""

    status: int
    code: str
    path: str
    body: bytes
    headers: dict[str, str]


def bad(status: int, code: str, path: str, body: bytes = b"no picture", **headers: str) -> Bad:
    return Bad(status, code, path, body, {name.replace("_", "-"): value for name, value in headers.items()})


def bomb() -> bytes:
    """A PNG that says it has 3.6 thousand million pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000)))]
    written = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def cut(world: World) -> bytes:
    """A JPEG without its second half."""
    file = world.pictures["jpeg_420_q90.jpg"]
    return file[: len(file) // 2]


def letters(world: World) -> str:
    """A name that nobody had before."""
    return f"{world.random.getrandbits(64):x}"


CASES: list[Callable[[World], Bad]] = [
    lambda world: bad(422, "invalid_image", f"/classify?model={STEADY}", cut(world)),
    lambda world: bad(422, "invalid_image", "/detect", cut(world)),
    lambda world: bad(415, "unsupported_image", "/detect"),
    lambda world: bad(415, "unsupported_image", "/detect", world.refused["tiff_palette.tif"]),
    lambda world: bad(413, "image_too_large", "/detect", bomb()),
    lambda world: bad(400, "empty_body", "/classify", b""),
    lambda world: bad(400, "invalid_request", "/classify", b'{"image": ', **JSON),
    lambda world: bad(400, "invalid_request", "/classify", b'{"image": "%%%"}', **JSON),
    lambda world: bad(400, "invalid_request", "/classify", b"[" * 10_000, **JSON),
    lambda world: bad(400, "invalid_request", "/classify", b"--x\r\nno form", **FORM),
    lambda world: bad(415, "unsupported_media_type", "/classify", Content_Type="text/html"),
    lambda world: bad(404, "model_not_found", f"/classify?model={letters(world)}"),
    lambda world: bad(404, "model_not_found", f"/detect?model={STEADY}&version={world.random.randint(2, 10**9)}"),
    lambda world: bad(404, "route_not_found", f"/{letters(world)}/{letters(world)}"),
    lambda world: bad(400, "invalid_parameter", f"/classify?top_k={letters(world)}x"),
    lambda world: bad(400, "invalid_parameter", f"/classify?{letters(world)}=1"),
    lambda world: bad(400, "invalid_parameter", "/classify", X_Request_Timeout_Ms="soon"),
    lambda world: bad(422, "wrong_task", f"/classify?model={DETECTOR}", world.pictures["png_rgb.png"]),
    lambda world: bad(413, "payload_too_large", f"/classify?model={STEADY}", bytes(MAX_BODY_BYTES + 1)),
    lambda world: bad(404, "model_not_found", f"/v2/models/{letters(world)}/infer", b'{"inputs": []}'),
    lambda world: bad(400, "invalid_request", f"/v2/models/{STEADY}/infer", json.dumps({"inputs": 1}).encode()),
    lambda world: bad(
        400, "invalid_request", f"/v2/models/{STEADY}/infer", b"{}", Inference_Header_Content_Length="99"
    ),
]


async def refused(world: World) -> str:
    case = world.random.choice(CASES)(world)
    # headers that nobody had before, for what might keep them
    headers = case.headers | {
        "X-Request-Id": letters(world),
        "traceparent": f"00-{letters(world):0>32}-{letters(world):0>16}-00",
    }
    async with world.session.post(world.url + case.path, data=case.body, headers=headers) as response:
        return expect(case.status, case.code, response.status, code_of(await response.text()))


async def wrong_method(world: World) -> str:
    async with world.session.get(f"{world.url}/classify") as response:
        return expect(405, "method_not_allowed", response.status, code_of(await response.text()))


TRAFFIC = {refused: 10, wrong_method: 0.3}
