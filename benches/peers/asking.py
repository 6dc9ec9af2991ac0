"""Asks servers: once, to see what they say, and in closed loops, by `cenet-serve bench`."""

import contextlib
import http.client
import json
import resource
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from children import Child

_START_TIMEOUT_S = 60
_POLL_S = 0.02
# scores that differ by less may change places: sums are rounded otherwise
_TIE = 0.01
_HEADERS = {"Content-Type": "image/jpeg"}


class Load(NamedTuple):
    """What came of a closed loop."""

    images_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    client_ms: float
    """Processor time that the client took for a request."""


def free_port() -> int:
    """A port of the loopback that nobody listens at now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(port: int, file: bytes) -> dict[str, float]:
    """The scores of the best labels, the best one first.

    Raises:
        OSError: if there is no answer.
        ValueError: if it is no good one.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_TIMEOUT_S)
    with contextlib.closing(connection):
        try:
            connection.request("POST", "/classify", file, _HEADERS)
            answer = connection.getresponse()
            body = answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no answer: {error!r}") from error
    if answer.status != 200:
        raise ValueError(f"status {answer.status}: {body[:200]!r}")
    return {each["label"]: each["score"] for each in json.loads(body)["predictions"]}


def agree(found: dict[str, float], expected: dict[str, float]) -> bool:
    """Whether the best label is the same, or as good as."""
    best = next(iter(expected))
    return found.get(best, 0.0) >= max(found.values()) - _TIE


def first_answer_s(child: Child, port: int, file: bytes) -> float:
    """From the start to the first answer.

    Raises:
        RuntimeError: if there is none.
    """
    while time.monotonic() < child.begun + _START_TIMEOUT_S:
        if child.process.poll() is not None:
            break
        with contextlib.suppress(OSError, ValueError):
            ask(port, file)
            return time.monotonic() - child.begun
        time.sleep(_POLL_S)
    told = child.log.read_text(errors="replace")[-700:]
    raise RuntimeError(f"it doesn't answer:\n{told}")


def load(binary: Path, port: int, pictures: Path, clients: int, seconds: float, warm_up_s: float) -> Load:
    """A closed loop of so many clients.

    Raises:
        RuntimeError: if the client fails; requests that fail are counted.
    """
    result = pictures.parent / "load.json"
    command = [binary, "bench", f"http://127.0.0.1:{port}", "--image", pictures, "--concurrency", str(clients)]
    command += ["--duration", f"{seconds}s", "--warmup", f"{warm_up_s}s", "--header", "Content-Type: image/jpeg"]
    before = _children_cpu_s()
    done = subprocess.run([*command, "--json", result], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"cenet-serve bench: {done.stderr[-2000:]}")
    used = _children_cpu_s() - before
    (run,) = json.loads(result.read_text())["runs"]
    latency = run["latency_ms"] or {"p50": 0.0, "p99": 0.0}
    # what warmed up was asked at the same rate, but isn't told
    asked = run["requests"] * (seconds + warm_up_s) / seconds
    failed = run["requests"] - run["answered"]
    return Load(run["answered_per_s"], latency["p50"], latency["p99"], failed, 1e3 * used / max(asked, 1))


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
