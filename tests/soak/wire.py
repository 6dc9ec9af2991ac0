"""Connections of their own, for what no client library does: breaking off, dawdling, sending what no one should."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from tally import WrongAnswerError

PATIENCE_S = 300
SMALL_BUFFER_BYTES = 8 << 10


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire(NamedTuple):
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, pause_s: float = 0, piece_bytes: int = 1 << 20) -> Answer:
        """Reads one answer that tells its length, `pause_s` after each piece."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            body = bytearray()
            length = int(headers.get("content-length", 0))
            while len(body) < length:
                body += await self.reader.readexactly(min(piece_bytes, length - len(body)))
                await asyncio.sleep(pause_s)
            return Answer(int(lines[0].split()[1]), headers, bytes(body))

    def tear(self) -> None:
        """Ends it at once; what hasn't been sent or read is lost."""
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def wire(address: str, *, small_buffer: bool = False) -> AsyncIterator[Wire]:
    """A connection to `address`; with a small buffer the server soon notices that nobody reads."""
    host, port = address.rsplit(":", 1)
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if small_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, (host, int(port)))
        limit = SMALL_BUFFER_BYTES if small_buffer else 1 << 20
        opened = Wire(*await asyncio.open_connection(sock=made, limit=limit))
    except BaseException:
        made.close()
        raise
    try:
        yield opened
    finally:
        opened.tear()


def post(path: str, length: int, content_type: str = "application/octet-stream", **headers: str) -> bytes:
    """The head of a request whose body has `length` bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: soak", f"Content-Type: {content_type}", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def expect(status: int, code: str, got_status: int, got_code: str | None) -> str:
    """The outcome's name, where status and code are the documented ones."""
    if (status, code) != (got_status, got_code):
        raise WrongAnswerError(f"{got_status} {got_code} instead of {status} {code}", got_code)
    return code
