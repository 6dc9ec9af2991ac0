"""deploy/kubernetes, rendered: valid to Kubernetes, and about one and the same server."""

import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import requests
import yaml

from rendering import KUBERNETES, Manifest, matches, of_kind, only, values
from server import assert_options
from serving import Server

KUBERNETES_VERSION = "1.37"
SERVICE_MONITOR = json.loads((Path(__file__).parent / "schemas/servicemonitor.json").read_text())


def pod(manifests: list[Manifest]) -> Manifest:
    return only(manifests, "Deployment")["spec"]["template"]


def container(manifests: list[Manifest]) -> Manifest:
    [one] = pod(manifests)["spec"]["containers"]
    return one


def ports(manifests: list[Manifest]) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(manifests)["ports"]}


def options(manifests: list[Manifest]) -> dict[str, str]:
    """The server's variables, from the ConfigMap that its container names."""
    [source] = container(manifests)["envFrom"]
    [config] = [
        found["data"]
        for found in of_kind(manifests, "ConfigMap")
        if found["metadata"]["name"] == source["configMapRef"]["name"]
    ]
    return config


def test_is_valid(rendered: list[Manifest]):
    for manifest in rendered:
        if manifest["kind"] == "ServiceMonitor":
            jsonschema.validate(manifest, SERVICE_MONITOR)
        else:
            kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def test_invalid_manifests_are_seen(rendered: list[Manifest]):
    broken = json.loads(json.dumps(only(rendered, "Deployment")))
    broken["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES_VERSION, strict=True)


def test_names_are_taken_once_and_in_one_namespace(rendered: list[Manifest]):
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered]
    assert len(names) == len(set(names))
    namespaces = {manifest["metadata"].get("namespace") for manifest in rendered if manifest["kind"] != "Namespace"}
    assert len(namespaces) == 1
    assert namespaces == {
        manifest["metadata"]["name"] for manifest in of_kind(rendered, "Namespace")
    } or namespaces == {None}


def test_every_selector_finds_the_pods(rendered: list[Manifest]):
    labels = pod(rendered)["metadata"]["labels"]
    for service in of_kind(rendered, "Service"):
        assert matches({"matchLabels": service["spec"]["selector"]}, labels)
    assert matches(only(rendered, "Deployment")["spec"]["selector"], labels)
    assert matches(only(rendered, "PodDisruptionBudget")["spec"]["selector"], labels)
    assert matches(only(rendered, "NetworkPolicy")["spec"]["podSelector"], labels)
    for constraint in pod(rendered)["spec"]["topologySpreadConstraints"]:
        assert matches(constraint["labelSelector"], labels)


def test_every_port_is_one_of_the_container(rendered: list[Manifest]):
    named = ports(rendered)
    assert named == {"http": 8000, "grpc": 8001}
    for service in of_kind(rendered, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named.keys()
    for rule in only(rendered, "NetworkPolicy")["spec"]["ingress"]:
        assert {port["port"] for port in rule["ports"]} <= named.keys()
    assert set(values(container(rendered), "port")) <= named.keys()


def test_probes_ask_what_the_server_answers(rendered: list[Manifest], server: Server):
    probes = {name: probe["httpGet"]["path"] for name, probe in container(rendered).items() if name.endswith("Probe")}
    assert probes == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    for path in probes.values():
        assert requests.get(server.url + path, timeout=30).ok


def test_the_options_are_the_servers(rendered: list[Manifest]):
    assert_options(options(rendered))


def test_a_pod_has_the_time_that_its_server_may_take_to_stop(rendered: list[Manifest]):
    given = options(rendered)
    takes_s = int(given["CENET_SHUTDOWN_DELAY_MS"]) / 1000 + int(given["CENET_DRAIN_TIMEOUT_S"])
    # what is cut then is told so, which has two seconds
    assert pod(rendered)["spec"]["terminationGracePeriodSeconds"] >= takes_s + 2


def test_bodies_and_pictures_leave_memory_for_models(rendered: list[Manifest]):
    assert container(rendered)["resources"]["limits"]["memory"] == "1Gi"
    assert int(options(rendered)["CENET_MEMORY_BUDGET_MIB"]) <= 384


def test_pods_meet_the_restricted_standard(rendered: list[Manifest]):
    spec = pod(rendered)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for one in [*spec["containers"], *spec.get("initContainers", [])]:
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
    # the standard's volumes, and images, which it lets pass too
    assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "image"}


def test_what_is_mounted_is_there(rendered: list[Manifest]):
    spec = pod(rendered)["spec"]
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    mounts = list(values(spec, "volumeMounts"))
    assert {mount["name"] for found in mounts for mount in found} == volumes.keys()
    assert {mount["mountPath"] for found in mounts for mount in found} <= {"/models"}
    claims = {claim["metadata"]["name"] for claim in of_kind(rendered, "PersistentVolumeClaim")}
    assert {
        volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values() if "persistentVolumeClaim" in volume
    } == claims
    configs = {config["metadata"]["name"] for config in of_kind(rendered, "ConfigMap")}
    assert {reference["name"] for reference in values(spec, "configMapRef")} == configs


def test_the_autoscaler_scales_the_deployment(rendered: list[Manifest]):
    deployment = only(rendered, "Deployment")
    autoscalers = of_kind(rendered, "HorizontalPodAutoscaler")
    # two that decide would quarrel
    assert ("replicas" in deployment["spec"]) != bool(autoscalers)
    for autoscaler in autoscalers:
        target = autoscaler["spec"]["scaleTargetRef"]
        assert target == {
            "apiVersion": deployment["apiVersion"],
            "kind": "Deployment",
            "name": deployment["metadata"]["name"],
        }


def test_the_autoscaler_goes_by_what_the_server_counts(rendered: list[Manifest], server: Server):
    metrics = requests.get(f"{server.url}/metrics", timeout=30).text
    values_of_adapter = yaml.safe_load((KUBERNETES / "components/autoscaling/adapter-values.yaml").read_text())
    offered = {rule["name"]["as"] for rule in values_of_adapter["rules"]["custom"]}
    for autoscaler in of_kind(rendered, "HorizontalPodAutoscaler"):
        [metric] = [metric["pods"]["metric"]["name"] for metric in autoscaler["spec"]["metrics"]]
        assert metric in offered
        assert f"# TYPE {metric} gauge" in metrics


def test_prometheus_asks_each_pod_once_and_may(rendered: list[Manifest], server: Server):
    for monitor in of_kind(rendered, "ServiceMonitor"):
        [endpoint] = monitor["spec"]["endpoints"]
        [service] = [
            found
            for found in of_kind(rendered, "Service")
            if matches(monitor["spec"]["selector"], found["metadata"]["labels"])
        ]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert requests.get(server.url + endpoint["path"], timeout=30).ok
        rules = only(rendered, "NetworkPolicy")["spec"]["ingress"]
        assert any("kubernetes.io/metadata.name" in str(rule) for rule in rules)
