"""Starts `cenet-serve` on free ports, learns them from its log, and stops it."""

import collections
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]

_START_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 30
_WANTED = ("http_addr", "grpc_addr")


class Server(NamedTuple):
    """A server that listens: host and port of each face that speaks the protocol."""

    http: str
    grpc: str
    process: subprocess.Popen

    @property
    def url(self) -> str:
        return f"http://{self.http}"


def binary() -> Path:
    """What CENET_SERVE_BINARY names, or what `cargo build` makes."""
    return Path(os.environ.get("CENET_SERVE_BINARY", CHECKOUT / "target/debug/cenet-serve")).absolute()


@contextlib.contextmanager
def serving(repository: Path, *options: str) -> Iterator[Server]:
    """A server of the models in `repository`. That it stops in order when it is asked to, is part of the test."""
    command = [binary(), "serve", "--log-format", "json", "--model-repository", repository, *options]
    command += ["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"]
    # The checkout holds the library that the server needs; variables of whoever runs the tests are none of its options.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CENET_")}
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            addresses = _addresses(process)
            # What is logged later is read, the last of it kept: a full pipe would stop the server.
            last = collections.deque(maxlen=20)
            reader = threading.Thread(target=lambda: last.extend(process.stderr))
            reader.start()
            try:
                yield Server(addresses["http_addr"], addresses["grpc_addr"], process)
            finally:
                process.terminate()
                status = process.wait(_STOP_TIMEOUT_S)
                reader.join()
            assert status == 0, f"the server ended with status {status}: {''.join(last)}"
        finally:
            process.kill()


def _addresses(process: subprocess.Popen) -> dict[str, str]:
    """What the log says, once it has named every face."""
    watchdog = threading.Timer(_START_TIMEOUT_S, process.kill)
    watchdog.start()
    found, lines = {}, []
    try:
        for line in process.stderr:
            lines.append(line)
            found.update(_named(line))
            if len(found) == len(_WANTED):
                return found
    finally:
        watchdog.cancel()
    raise RuntimeError(f"the server ended before it listened: {''.join(lines[-5:])}")


def _named(line: str) -> dict[str, str]:
    """The addresses that a line of the log names; a line that isn't the log's own names none."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return {name: fields[name] for name in _WANTED if name in fields}
