"""deploy/compose.yaml and deploy/swarm: valid, and about what the server does."""

import json
import shutil
import subprocess
from pathlib import Path

import check_jsonschema
import jsonschema
import pytest
import yaml

from rendering import DEPLOY, Manifest, ran
from server import assert_options

COMPOSE = DEPLOY / "compose.yaml"
SWARM = DEPLOY / "swarm"
FILES = [COMPOSE, *sorted(SWARM.glob("*.yaml"))]


def read(file: Path) -> Manifest:
    return yaml.safe_load(file.read_text())


def server_of(file: Path) -> Manifest:
    return read(file)["services"]["server"]


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_follows_the_compose_specification(file: Path):
    schemas = Path(check_jsonschema.__file__).parent / "builtin_schemas/vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    jsonschema.validate(read(file), schema, cls=jsonschema.validators.validator_for(schema))


@pytest.mark.parametrize("name", ["docker compose", "docker-compose"])
def test_compose_itself_takes_it(name: str):
    command = name.split()
    if not shutil.which(command[0]) or subprocess.run([*command, "version"], capture_output=True).returncode:
        pytest.skip(f"no {name}")
    assert "cenet-serve" in ran(*command, "--file", COMPOSE, "config")


@pytest.mark.parametrize("beside", ["mesh", "proxy"])
def test_docker_stack_takes_it(beside: str):
    if not shutil.which("docker"):
        pytest.skip("no docker")
    files = [SWARM / "stack.yaml", SWARM / f"{beside}.yaml"]
    merged = yaml.safe_load(ran("docker", "stack", "config", *(f"--compose-file={file}" for file in files)))
    assert merged["services"]["server"]["deploy"]["replicas"] == 3


def test_what_compose_mounts_is_there():
    mounts = [mount.split(":")[0] for service in read(COMPOSE)["services"].values() for mount in service["volumes"]]
    paths = [mount for mount in mounts if mount.startswith(".")]
    assert len(paths) == 4
    assert all((DEPLOY / path).exists() for path in paths)


def test_prometheus_looks_where_compose_serves():
    compose = read(COMPOSE)
    [job] = read(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]
    [names] = job["dns_sd_configs"]
    assert names["names"] == ["server"] and "server" in compose["services"]
    assert any(mapping.endswith(f":{names['port']}") for mapping in compose["services"]["server"]["ports"])


@pytest.mark.parametrize("file", [COMPOSE, SWARM / "stack.yaml"], ids=lambda file: file.name)
def test_the_options_are_the_servers(file: Path):
    assert_options(server_of(file)["environment"])


@pytest.mark.parametrize("file", [COMPOSE, SWARM / "stack.yaml"], ids=lambda file: file.name)
def test_the_server_is_locked_and_may_take_its_time_to_stop(file: Path):
    server = server_of(file)
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    assert server["deploy"]["resources"]["limits"]["memory"] == "1G"
    delay_s = int(server["environment"]["CENET_SHUTDOWN_DELAY_MS"]) / 1000
    # the drain timeout's default, and two seconds to tell who is cut
    assert seconds(server["stop_grace_period"]) >= delay_s + 30 + 2


def test_a_replica_is_replaced_before_it_is_stopped():
    update = server_of(SWARM / "stack.yaml")["deploy"]["update_config"]
    assert (update["order"], update["parallelism"], update["failure_action"]) == ("start-first", 1, "rollback")


def test_haproxy_takes_its_configuration():
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if not haproxy:
        pytest.skip("no haproxy")
    ran(haproxy, "-c", "-q", "-f", SWARM / "haproxy.cfg")
