"""Runs the image as it is meant to be run, and waits for what Docker itself reports."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGE = os.environ.get("CENET_IMAGE", "cenet-serve")

# What docs/docker.md advises.
LOCKED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
LIMITED = ("--memory", "768m", "--cpus", "2", "--pids-limit", "128", "--env", "CENET_MEMORY_BUDGET_MIB=256")

_WAIT_S = 120


def require_engine() -> None:
    """Passes the test over where no engine answers; without the image it is a failure."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker engine answers")
    there = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True)
    assert there.returncode == 0, f"there is no image {IMAGE}: `make docker` builds it"


def docker(*arguments: str) -> str:
    """What the command prints; its complaint is the failure."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=_WAIT_S)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout.strip()


class Ended(NamedTuple):
    """A container that is through."""

    status: int
    log: str


class Container(NamedTuple):
    """A container that runs, or has run."""

    id: str

    def inspect(self) -> dict:
        return json.loads(docker("inspect", self.id))[0]

    def address(self, port: int) -> tuple[str, int]:
        """Where the machine reaches a port of the container."""
        host, _, published = docker("port", self.id, f"{port}/tcp").splitlines()[0].rpartition(":")
        return host, int(published)

    @property
    def url(self) -> str:
        host, port = self.address(8000)
        return f"http://{host}:{port}"

    def wait_for_log(self, wanted: str) -> None:
        """Reads the log until a line holds `wanted`."""
        command = ["timeout", str(_WAIT_S), "docker", "logs", "--follow", self.id]
        lines = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as log:
            try:
                for line in log.stdout:
                    lines.append(line)
                    if wanted in line:
                        return
            finally:
                log.terminate()
        raise AssertionError(f"the log never said {wanted!r}: {''.join(lines[-5:])}")

    def wait_for_health(self, wanted: str) -> None:
        """Waits for the event that Docker's own health check gives, one that was before counts."""
        events = ["docker", "events", "--since", self.inspect()["Created"], "--format", "{{.Status}}"]
        events += ["--filter", f"container={self.id}", "--filter", "event=health_status"]
        with subprocess.Popen(["timeout", str(_WAIT_S), *events], stdout=subprocess.PIPE, text=True) as told:
            try:
                seen = next((line for line in told.stdout if line.strip() == f"health_status: {wanted}"), None)
            finally:
                told.terminate()
        assert seen, f"never {wanted}: {self.inspect()['State']['Health']}"

    def signal(self, name: str) -> None:
        docker("kill", "--signal", name, self.id)

    def ended(self) -> Ended:
        """Waits for the end."""
        status = int(docker("wait", self.id))
        log = subprocess.run(["docker", "logs", self.id], capture_output=True, text=True, check=True)
        return Ended(status, log.stdout + log.stderr)


@contextlib.contextmanager
def running(*options: str, arguments: tuple[str, ...] = ()) -> Iterator[Container]:
    """The image, locked and limited, its ports published on loopback; gone afterwards."""
    ports = ("--publish", "127.0.0.1::8000", "--publish", "127.0.0.1::8001")
    container = Container(docker("run", "--detach", *LOCKED, *LIMITED, *ports, *options, IMAGE, *arguments))
    try:
        yield container
    finally:
        docker("rm", "--force", "--volumes", container.id)


def files(image: str) -> dict[str, int]:
    """The sizes in bytes of the files that the image holds, by path."""
    container = docker("create", image)
    try:
        export = subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE)
        with export, tarfile.open(fileobj=export.stdout, mode="r|") as archive:
            return {member.name: member.size for member in archive if member.isfile()}
    finally:
        docker("rm", container)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return [taken.getsockname()[1] for taken in sockets]
