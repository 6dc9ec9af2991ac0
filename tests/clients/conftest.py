"""One server for all tests, another whose models are fixed, and clients; what asks for `face` is run over both."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faces import Face
from golden import CLASSIFIER, DETECTOR
from serving import CHECKOUT, Server, serving

# A model to unload without harm to other tests.
SPARE = "spare"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of models, so that tests may load and unload."""
    root = tmp_path_factory.mktemp("models")
    shipped = CHECKOUT / "models/ce_resnet_caltech101"
    for folder, name in (
        (CLASSIFIER.folder, None),
        (CLASSIFIER.folder, SPARE),
        (DETECTOR.folder, None),
        (shipped, None),
    ):
        shutil.copytree(folder, root / (name or folder.name))
    return root


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[Server]:
    with serving(repository, "--model-control", "explicit") as started:
        yield started


@pytest.fixture(scope="session")
def fixed_server() -> Iterator[Server]:
    """A server whose models are those of the start."""
    with serving(CLASSIFIER.folder.parent) as started:
        yield started


@pytest.fixture(params=["http", "grpc"])
def face(request: pytest.FixtureRequest, server: Server) -> Iterator[Face]:
    """Either client."""
    yield from _connected(request.param, server)


@pytest.fixture(params=["http", "grpc"])
def fixed_face(request: pytest.FixtureRequest, fixed_server: Server) -> Iterator[Face]:
    yield from _connected(request.param, fixed_server)


@pytest.fixture
def http(server: Server) -> Iterator[Face]:
    yield from _connected("http", server)


@pytest.fixture
def grpc(server: Server) -> Iterator[Face]:
    yield from _connected("grpc", server)


def _connected(name: str, server: Server) -> Iterator[Face]:
    face = Face(name, server)
    yield face
    face.client.close()
