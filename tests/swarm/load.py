"""Clients that each keep one connection, ask again as soon as they are answered, and never ask the same twice."""

import http.client
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

# A request has this long.
TIMEOUT_S = 30
# Before anything is done to the servers, each client has been answered this often.
_FIRST_ANSWERS = 5

# Sends one request; what it failed with, if it did.
Ask = Callable[[], str | None]


class Sent(NamedTuple):
    """One request: when it was begun and answered, in seconds of the monotonic clock, and what it failed with."""

    began: float
    ended: float
    failure: str | None

    def was_in_flight(self, since: float, until: float) -> bool:
        return self.began <= until and self.ended >= since


def over_http(host: str, port: int, path: str, picture: bytes) -> Ask:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)

    def ask() -> str | None:
        try:
            # opens a connection where there is none, or the server has asked to close it
            connection.request("POST", path, picture)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return f"HTTP: {error!r}"
        return None if answer.status == 200 else f"HTTP: {answer.status} {text[:200]!r}"

    return ask


def over_grpc(host: str, port: int, model: str, picture: bytes) -> Ask:
    # a subchannel of its own for each client, and no retries by the library
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    client = triton.InferenceServerClient(f"{host}:{port}", channel_args=options)
    pixels = triton.InferInput("input", [1], "BYTES")
    pixels.set_data_from_numpy(np.array([picture], dtype=object))

    def ask() -> str | None:
        try:
            client.infer(model, [pixels], client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            return f"gRPC: {error}"
        return None

    return ask


class Load:
    """Goes on from entering it until it is left; then `sent` has every request."""

    def __init__(self, *clients: Ask):
        self.sent: list[Sent] = []
        self._stop = threading.Event()
        self._all_answered = threading.Barrier(len(clients) + 1, timeout=TIMEOUT_S)
        self._threads = [threading.Thread(target=self._go_on, args=(ask,)) for ask in clients]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        self._all_answered.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.failure]

    def told(self) -> str:
        """Figures for people."""
        took_ms = sorted((sent.ended - sent.began) * 1e3 for sent in self.sent)
        over_s = max(sent.ended for sent in self.sent) - min(sent.began for sent in self.sent)
        return (
            f"{len(self.sent)} requests in {over_s:.0f} s, {len(self.failed)} failed; "
            f"median {took_ms[len(took_ms) // 2]:.0f} ms, p99 {took_ms[len(took_ms) * 99 // 100]:.0f} ms, "
            f"longest {took_ms[-1]:.0f} ms"
        )

    def _go_on(self, ask: Ask) -> None:
        for _ in range(_FIRST_ANSWERS):
            self._send(ask)
        self._all_answered.wait()
        while not self._stop.is_set():
            self._send(ask)

    def _send(self, ask: Ask) -> None:
        began = time.monotonic()
        failure = ask()
        self.sent.append(Sent(began, time.monotonic(), failure))
