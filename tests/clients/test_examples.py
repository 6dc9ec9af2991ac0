"""The examples, run as they are, tell what the server says by its own routes."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from PIL import Image

from serving import CHECKOUT, Server

EXAMPLES = CHECKOUT / "examples"
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cup of coffee, as a camera would store it."""
    picture = Image.open(CHECKOUT / "models/ce_resnet_caltech101/1/golden.png")
    path = tmp_path_factory.mktemp("pictures") / "photo.jpg"
    picture.save(path, quality=90)
    return path


@pytest.fixture(scope="module")
def label(server: Server, photo: Path) -> str:
    """What the shipped classifier takes the photo for."""
    url = f"{server.url}/classify?model=ce_resnet_caltech101"
    answer = requests.post(url, data=photo.read_bytes(), timeout=TIMEOUT_S).json()
    return answer["predictions"][0]["label"]


def run(*command: str | Path, **variables: str) -> str:
    """What it prints. It stands in no particular folder, as a user might."""
    done = subprocess.run(
        command, cwd="/", env=os.environ | variables, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_is_tried():
    tried = {"curl.sh", "python_requests.py", "triton_http.py", "triton_grpc.py", "grpcurl.sh"}
    assert {file.name for file in EXAMPLES.iterdir() if file.suffix in (".py", ".sh")} == tried


def test_curl(server: Server, photo: Path, label: str, tmp_path: Path):
    told = run(EXAMPLES / "curl.sh", photo, CENET_URL=server.url, TMPDIR=str(tmp_path))
    assert f'"label":"{label}"' in told
    assert '"label":"RBC"' in told
    assert f':{label}"' in told
    [drawn] = tmp_path.rglob("found.jpg")
    assert Image.open(io.BytesIO(drawn.read_bytes())).format == "JPEG"


def test_curl_shows_an_error_and_ends(server: Server, tmp_path: Path):
    nothing = tmp_path / "nothing.jpg"
    nothing.write_bytes(b"nothing")
    command = [EXAMPLES / "curl.sh", nothing]
    done = subprocess.run(command, env=os.environ | {"CENET_URL": server.url}, capture_output=True, timeout=TIMEOUT_S)
    assert done.returncode != 0
    assert b"unsupported_image" in done.stdout


def test_curl_without_arguments(server: Server, tmp_path: Path):
    assert '"label":"RBC"' in run(EXAMPLES / "curl.sh", CENET_URL=server.url, TMPDIR=str(tmp_path))


def test_python_requests(server: Server, photo: Path, label: str):
    told = run(sys.executable, EXAMPLES / "python_requests.py", "--url", server.url, photo, photo)
    assert told.count(f"photo.jpg: [('{label}', ") == 2
    assert told.count(f":{label}'") == 2


@pytest.mark.parametrize("name", ["http", "grpc"])
def test_triton(server: Server, photo: Path, label: str, name: str):
    told = run(sys.executable, EXAMPLES / f"triton_{name}.py", "--url", getattr(server, name), photo, photo)
    assert len(told.splitlines()) == 2
    for line in told.splitlines():
        best = line.removeprefix("photo.jpg: ").split(", ")
        assert len(best) == 3
        assert best[0].endswith(f":{label}")


def test_triton_says_what_is_wrong(server: Server, photo: Path):
    command = [sys.executable, EXAMPLES / "triton_http.py", "--url", server.http, "--model", "nobody", photo]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert "nobody" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("grpcurl") is None, reason="no grpcurl")
def test_grpcurl(server: Server, photo: Path, label: str):
    told = run(EXAMPLES / "grpcurl.sh", photo, CENET_GRPC_ADDR=server.grpc)
    assert "inference.GRPCInferenceService" in told
    assert '"status": "SERVING"' in told
    assert f":{label}" in told
