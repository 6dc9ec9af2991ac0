"""deploy/kserve: of KServe's types, and about what the server does."""

import copy

import jsonschema
import pytest
import requests

import kserve_types
from rendering import DEPLOY, Manifest, documents
from server import assert_options
from serving import Server
from test_kubernetes import KUBERNETES_VERSION

SERVICES = ["http", "grpc"]


def read(name: str) -> Manifest:
    [manifest] = documents((DEPLOY / "kserve" / f"{name}.yaml").read_text())
    return manifest


@pytest.fixture
def runtime() -> Manifest:
    return read("runtime")


def container(runtime: Manifest) -> Manifest:
    [one] = runtime["spec"]["containers"]
    return one


@pytest.mark.parametrize("name", ["runtime", *SERVICES])
def test_is_of_kserves_types(name: str):
    kserve_types.validate(read(name), KUBERNETES_VERSION)


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("spec", "protocolVersion", "v2"),
        ("spec", "protocolVersions", "v2"),
        ("spec.supportedModelFormats.0", "name", 7),
        ("spec.containers.0", "port", 1),
        ("spec.containers.0.ports.0", "containerPort", "8080"),
    ],
)
def test_mistakes_are_seen(runtime: Manifest, path: str, key: str, value: object):
    broken = copy.deepcopy(runtime)
    place = broken
    for step in path.split("."):
        place = place[int(step) if step.isdigit() else step]
    place[key] = value
    with pytest.raises((AssertionError, jsonschema.ValidationError)):
        kserve_types.validate(broken, KUBERNETES_VERSION)


@pytest.mark.parametrize("name", SERVICES)
def test_services_ask_for_what_the_runtime_offers(runtime: Manifest, name: str):
    model = read(name)["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    formats = [(known["name"], known["version"]) for known in runtime["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats
    listens = {port["containerPort"] for port in container(runtime)["ports"]}
    assert {port["containerPort"] for port in model.get("ports", [])} <= listens


def test_the_options_are_the_servers(runtime: Manifest):
    options = {variable["name"]: variable["value"] for variable in container(runtime)["env"]}
    assert_options(options)
    [port] = container(runtime)["ports"]
    assert options["CENET_HTTP_ADDR"] == f"0.0.0.0:{port['containerPort']}"
    annotations = runtime["spec"]["annotations"]
    assert annotations["prometheus.kserve.io/port"] == str(port["containerPort"])


def test_paths_are_answered(runtime: Manifest, server: Server):
    probes = [probe["httpGet"]["path"] for name, probe in container(runtime).items() if name.endswith("Probe")]
    assert len(probes) == 3
    for path in [*probes, runtime["spec"]["annotations"]["prometheus.kserve.io/path"]]:
        assert requests.get(server.url + path, timeout=30).ok
