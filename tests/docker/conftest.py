"""One container for what only asks. Without a Docker engine the tests say so and are passed over."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers import CHECKOUT, Container, require_engine, running


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    require_engine()


@pytest.fixture(scope="session")
def container(engine: None) -> Iterator[Container]:
    with running() as started:
        started.wait_for_log("listening")
        yield started


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An empty folder for models that the image's user may read."""
    folder = tmp_path / "models"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def detector_alone(volume: Path) -> Path:
    """A model repository that isn't the image's own: the detector, under another name."""
    shutil.copytree(CHECKOUT / "models/ce_fcos_bccd/1", volume / "cells/3")
    return volume
