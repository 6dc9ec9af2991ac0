"""A stopped container answers what it has begun, and ends with 0."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from containers import CHECKOUT, Container, running

REQUESTS = 16
PICTURE = (CHECKOUT / "models/ce_fcos_bccd/1/golden.png").read_bytes()
HEAD = (
    "POST /detect HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\nconnection: close\r\n"
    f"content-length: {len(PICTURE)}\r\n\r\n"
).encode()


class Begun:
    """A request whose head the server has, which it tells by asking for the rest."""

    def __init__(self, address: tuple[str, int]):
        self.socket = socket.create_connection(address, timeout=60)
        self.socket.sendall(HEAD)
        assert self.socket.recv(1024).startswith(b"HTTP/1.1 100 ")

    def __enter__(self) -> "Begun":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def finish(self) -> bytes:
        """Sends the picture; the status line of the answer."""
        self.socket.sendall(PICTURE)
        answer = b"".join(iter(lambda: self.socket.recv(1 << 16), b""))
        return answer.split(b"\r\n", 1)[0]


@pytest.fixture
def stoppable() -> Iterator[Container]:
    with running() as container:
        container.wait_for_log("listening")
        yield container


def test_requests_in_flight_are_answered_after_sigterm(stoppable: Container):
    address = stoppable.address(8000)
    with ExitStack() as stack:
        begun = [stack.enter_context(Begun(address)) for _ in range(REQUESTS)]
        stoppable.signal("TERM")
        stoppable.wait_for_log("no connection is taken any more")
        assert [request.finish() for request in begun] == [b"HTTP/1.1 200 OK"] * REQUESTS
    assert stoppable.ended().status == 0


def test_a_second_signal_cuts_short(stoppable: Container):
    with Begun(stoppable.address(8000)) as request:
        stoppable.signal("TERM")
        stoppable.wait_for_log("no connection is taken any more")
        stoppable.signal("TERM")
        assert request.finish().split(b" ")[1] == b"503"
    assert stoppable.ended().status == 0
