"""The image as docs/docker.md runs it: nothing writable, no privilege, memory and cores limited."""

import json
import re
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from containers import CHECKOUT, IMAGE, LOCKED, Container, docker, files, running

TIMEOUT_S = 30
MOST_BYTES = 150_000_000
CLASSIFIER = CHECKOUT / "models/ce_efficientnet_lite0/1"
DETECTOR = CHECKOUT / "models/ce_fcos_bccd/1"


def asked(container: Container, path: str, picture: Path) -> dict:
    answer = requests.post(container.url + path, data=picture.read_bytes(), timeout=TIMEOUT_S)
    assert answer.ok, answer.text
    return answer.json()


def golden_label() -> str:
    """What PyTorch says of the classifier's golden picture."""
    with np.load(CLASSIFIER / "golden.npz") as arrays:
        best = int(arrays["logits"].argmax())
    return (CLASSIFIER / "labels.txt").read_text().splitlines()[best]


def test_size_without_models(capsys: pytest.CaptureFixture):
    size = json.loads(docker("image", "inspect", IMAGE))[0]["Size"]
    of_models = sum(length for path, length in files(IMAGE).items() if path.startswith("models/"))
    assert of_models > 0
    with capsys.disabled():
        print(f"\n{IMAGE}: {size / 1e6:.1f} MB, of these models {of_models / 1e6:.1f} MB")
    assert size - of_models <= MOST_BYTES


def test_what_it_ships_has_its_licences():
    folder = "usr/share/doc/cenet-serve/"
    lengths = files(IMAGE)
    for file in ("LICENSE", "crates.txt", "onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"):
        assert lengths[folder + file] > 500
    labels = json.loads(docker("image", "inspect", IMAGE))[0]["Config"]["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["org.opencontainers.image.revision"])


def test_classifies_and_detects(container: Container):
    [best, *_] = asked(container, "/classify", CLASSIFIER / "golden.png")["predictions"]
    assert best["label"] == golden_label()
    assert asked(container, "/detect", DETECTOR / "golden.png")["detections"]
    metrics = requests.get(f"{container.url}/metrics", timeout=TIMEOUT_S).text
    assert re.search(r'cenet_images_total\{model="ce_fcos_bccd",[^}]*outcome="ok"[^}]*\} [1-9]', metrics)


def test_answers_the_health_service_of_grpc(container: Container):
    host, port = container.address(8001)
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_docker_finds_it_healthy(container: Container):
    container.wait_for_health("healthy")


def test_runs_as_the_first_process_without_privilege(container: Container):
    pid = container.inspect()["State"]["Pid"]
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["65532"] * 4
    assert status["NSpid"].split()[-1] == "1"
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_serves_a_volume_and_after_a_restart_what_lies_there_then(detector_alone: Path):
    mounted = ("--volume", f"{detector_alone}:/models:ro")
    with running(*mounted) as container:
        container.wait_for_log("listening")
        assert asked(container, "/detect?model=cells", DETECTOR / "golden.png")["version"] == "3"
        assert requests.get(f"{container.url}/v1/models", timeout=TIMEOUT_S).text.count('"name"') == 1
        (detector_alone / "cells/3").rename(detector_alone / "cells/4")
        docker("restart", container.id)
        container.wait_for_health("healthy")
        assert asked(container, "/detect", DETECTOR / "golden.png")["version"] == "4"


def test_refuses_an_empty_volume(volume: Path):
    with running("--volume", f"{volume}:/models:ro") as container:
        status, log = container.ended()
    assert status == 1
    assert "error: model repository /models: holds no model: a model lies in <name>/<version>/" in log


def test_says_when_it_may_not_read_a_volume(detector_alone: Path):
    detector_alone.chmod(0o700)
    try:
        with running("--volume", f"{detector_alone}:/models:ro") as container:
            status, log = container.ended()
    finally:
        detector_alone.chmod(0o755)
    assert status == 1
    assert "/models" in log
    assert "Permission denied" in log


def test_every_option_is_a_variable():
    with running("--env", "CENET_LOAD_MODEL=ce_fcos_bccd", "--env", "CENET_LOG_FORMAT=json") as container:
        container.wait_for_log('"http_addr"')
        [model] = requests.get(f"{container.url}/v1/models", timeout=TIMEOUT_S).json()["models"]
    assert model["name"] == "ce_fcos_bccd"


@pytest.mark.parametrize(
    "command",
    [
        ("predict", CLASSIFIER.parent.name, f"/models/{CLASSIFIER.parent.name}/1/golden.png"),
        ("inspect", DETECTOR.parent.name),
    ],
    ids=lambda command: command[0],
)
def test_other_commands_of_the_program_run(command: tuple[str, ...]):
    shown = docker("run", "--rm", *LOCKED, "--tmpfs", "/tmp", "--network", "none", IMAGE, *command)
    assert (golden_label() if command[0] == "predict" else "run by the native kernel") in shown
