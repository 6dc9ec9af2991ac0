"""The server against its own document, read by schemathesis: no server error, no status or schema but what it tells."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import CHECKOUT, Server, serving

MODEL = CHECKOUT / "tests/data/models/tiny_ce"
# What a schema can't say, such as that bytes are a picture, is refused rightly though it fits the schema.
CHECKS = ("--checks", "all", "--exclude-checks", "positive_data_acceptance")
REPRODUCIBLE = ("--seed", "1", "--generation-deterministic")
_TIMEOUT_S = 300


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(MODEL, root / MODEL.name)
    with serving(root, "--model-control", "explicit", "--max-body-bytes", "65536") as started:
        yield started


def schemathesis(server: Server, notes: Path, config: str, *options: str) -> None:
    """Runs it; what it notes for itself goes into `notes`."""
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--config-file", Path(__file__).with_name(config)]
    command += ["run", f"{server.url}/openapi.json", "--no-color", *CHECKS, *REPRODUCIBLE, *options]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(Path(__file__).parent)}
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment, cwd=notes)
    assert outcome.returncode == 0, outcome.stdout[-8000:] + outcome.stderr[-2000:]
    assert " passed" in outcome.stdout, outcome.stdout[-2000:]


def test_whatever_names_models_are_called_by(server: Server, tmp_path: Path):
    schemathesis(server, tmp_path, "any_name.toml", "--max-examples", "15")


def test_a_model_that_is_there(server: Server, tmp_path: Path):
    paths = ("--include-path-regex", r"^/v2/models/\{model\}")
    schemathesis(server, tmp_path, "one_model.toml", *paths, "--max-examples", "25")
