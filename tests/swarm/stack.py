"""The stack of deploy/swarm behind HAProxy, on this machine alone.

The routing mesh needs IPVS in the kernel, which not every machine has; HAProxy needs nothing. At a third port it passes
on connections instead of requests, as the mesh does.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from containers import CHECKOUT, IMAGE, docker, free_ports

SWARM = CHECKOUT / "deploy/swarm"
NAME = "cenet-test"
SERVICE = f"{NAME}_server"
REPLICAS = 3
HOST = "127.0.0.1"

# HAProxy as Debian has it, where the image can't be fetched.
_HAPROXY = "cenet-test-haproxy"
_HAPROXY_BUILD = b"""\
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends haproxy
"""

_BY_CONNECTION = """
listen connections
    mode tcp
    bind :8002
    option httpchk GET /readyz
    server-template server 16 tasks.server:8000 check
"""

_UPDATE_TIMEOUT_S = 420


class Stack:
    """Three servers and HAProxy's ports."""

    def __init__(self, http: int, grpc: int, connections: int):
        self.http, self.grpc, self.connections = http, grpc, connections

    def servers(self) -> set[str]:
        """The containers that run now."""
        return set(docker("ps", "--quiet", "--no-trunc", "--filter", _of_service()).split())

    def update(self, *options: str) -> str:
        """Replaces every server; how that ended, once the swarm has watched the last one or has gone back."""
        states = _events("type=service", f"service={SERVICE}", told='{{index .Actor.Attributes "updatestate.new"}}')
        with states as told:
            docker("service", "update", "--detach", *options, SERVICE)
            ends = {"completed", "paused", "rollback_completed", "rollback_paused"}
            return next((state for state in told if state in ends), "no end")


@contextlib.contextmanager
def next_healthy_server() -> Iterator[None]:
    """Left when a server has become healthy that wasn't on entering."""
    with _events("event=health_status", _of_service(), told="{{.Status}}") as statuses:
        yield
        assert "health_status: healthy" in statuses, "no server became healthy"


@contextlib.contextmanager
def _events(*filters: str, told: str) -> Iterator[Iterator[str]]:
    """What Docker tells from now on of its events that pass all filters, each by the template `told`."""
    command = ["timeout", str(_UPDATE_TIMEOUT_S), "docker", "events", "--format", told]
    command += ["--since", docker("info", "--format", "{{.SystemTime}}"), *(f"--filter={wanted}" for wanted in filters)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as events:
        try:
            yield (line.strip() for line in events.stdout)
        finally:
            events.terminate()


@contextlib.contextmanager
def deployed(folder: Path) -> Iterator[Stack]:
    """The stack, its servers healthy; gone afterwards. Its files that are a test's own are written to `folder`."""
    ports = free_ports(3)
    files = [SWARM / "stack.yaml", SWARM / "proxy.yaml", _override(folder, ports[2])]
    environment = {
        "CENET_IMAGE": IMAGE,
        "CENET_REPLICAS": str(REPLICAS),
        "CENET_HTTP_PORT": str(ports[0]),
        "CENET_GRPC_PORT": str(ports[1]),
        "HAPROXY_IMAGE": os.environ.get("HAPROXY_IMAGE") or _debians_haproxy(),
    }
    deploy = ["docker", "stack", "deploy", "--detach=false", "--resolve-image", "never"]
    deploy += [f"--compose-file={file}" for file in files]
    with _swarm():
        try:
            done = subprocess.run(
                [*deploy, NAME], env=os.environ | environment, capture_output=True, text=True, timeout=_UPDATE_TIMEOUT_S
            )
            assert done.returncode == 0, done.stdout + done.stderr
            yield Stack(*ports)
        finally:
            containers = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.stack.namespace={NAME}")
            docker("stack", "rm", "--detach=false", NAME)
            if containers:
                subprocess.run(["docker", "rm", "--force", *containers.split()], capture_output=True)


def _of_service() -> str:
    return f"label=com.docker.swarm.service.name={SERVICE}"


@contextlib.contextmanager
def _swarm() -> Iterator[None]:
    """A swarm of this machine alone, for as long as it is needed, unless it is in one."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "active":
        yield
        return
    docker("swarm", "init", "--advertise-addr", HOST, "--listen-addr", f"{HOST}:2377")
    try:
        yield
    finally:
        docker("swarm", "leave", "--force")


def _override(folder: Path, port: int) -> Path:
    configuration = folder / "haproxy.cfg"
    configuration.write_text((SWARM / "haproxy.cfg").read_text() + _BY_CONNECTION)
    override = folder / "override.yaml"
    override.write_text(
        f"services: {{proxy: {{ports: [{{target: 8002, published: {port}, protocol: tcp, mode: host}}]}}}}\n"
        f"configs: {{haproxy: {{file: {configuration}}}}}\n"
    )
    return override


def _debians_haproxy() -> str:
    command = ["docker", "build", "--quiet", "--network", "host", "--tag", _HAPROXY, "-"]
    subprocess.run(command, input=_HAPROXY_BUILD, capture_output=True, check=True, timeout=300)
    return _HAPROXY
