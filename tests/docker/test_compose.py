"""deploy/compose.yaml: the server and Prometheus, which finds it. Grafana is left out: Debian has none."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest
import requests

from containers import CHECKOUT, IMAGE, Container, free_ports

TIMEOUT_S = 120
STARTED = ("server", "prometheus")

# Prometheus as Debian has it, started as its own image is, where that can't be fetched.
PROMETHEUS = "cenet-test-prometheus"
PROMETHEUS_BUILD = b"""\
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus \\
    && install --directory --owner nobody --group nogroup /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
"""


class Compose:
    """The project, on ports of its own."""

    def __init__(self, command: list[str]):
        http, grpc, self.prometheus_port = free_ports(3)
        self._command = [*command, "--project-name", "cenet-test", "--file", str(CHECKOUT / "deploy/compose.yaml")]
        self._environment = os.environ | {
            "CENET_IMAGE": IMAGE,
            "CENET_HTTP_PORT": str(http),
            "CENET_GRPC_PORT": str(grpc),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "PROMETHEUS_IMAGE": os.environ.get("PROMETHEUS_IMAGE") or _debians_prometheus(),
        }

    def run(self, *arguments: str) -> str:
        command = [*self._command, *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def prometheus(self, path: str) -> dict:
        answer = requests.get(f"http://127.0.0.1:{self.prometheus_port}/api/v1/{path}", timeout=TIMEOUT_S)
        assert answer.ok, answer.text
        return answer.json()["data"]


def _debians_prometheus() -> str:
    command = ["docker", "build", "--quiet", "--network", "host", "--tag", PROMETHEUS, "-"]
    subprocess.run(command, input=PROMETHEUS_BUILD, capture_output=True, check=True, timeout=300)
    return PROMETHEUS


def _compose() -> list[str]:
    for command in (["docker", "compose"], ["docker-compose"]):
        there = shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode
        if there:
            return command
    pytest.skip("neither docker compose nor docker-compose is installed")


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    project = Compose(_compose())
    try:
        project.run("up", "--detach", *STARTED)
        yield project
    finally:
        project.run("down", "--volumes")


def test_services_become_healthy_and_are_locked(compose: Compose):
    for service in STARTED:
        container = Container(compose.run("ps", "--quiet", service))
        container.wait_for_health("healthy")
        configured = container.inspect()["HostConfig"]
        assert configured["ReadonlyRootfs"]
        assert configured["CapDrop"] == ["ALL"]
        assert configured["Memory"] > 0
        assert configured["NanoCpus"] > 0


def test_prometheus_finds_the_server(compose: Compose):
    until = time.monotonic() + TIMEOUT_S
    # nothing tells when it has asked for the first time
    while not (found := compose.prometheus("query?query=up==1")["result"]):
        assert time.monotonic() < until, compose.prometheus("targets")["activeTargets"]
        time.sleep(0.5)
    [server] = found
    assert server["metric"]["job"] == "cenet-serve"


def test_prometheus_takes_the_rules(compose: Compose):
    rules = [rule for group in compose.prometheus("rules")["groups"] for rule in group["rules"]]
    assert "CenetDown" in {rule["name"] for rule in rules}
    assert {rule.get("lastError") for rule in rules} <= {None, ""}
