"""The operator's shared library in an unmodified ONNX Runtime: the golden outputs, by the native kernel."""

import json
import os
import subprocess
import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

CHECKOUT = Path(__file__).parents[2]
LIBRARY = os.environ.get("CENET_OPS_LIBRARY")
MODELS = ["models/ce_resnet_caltech101/1", "models/ce_fcos_bccd/1", "tests/data/models/tiny_ce/1"]

pytestmark = pytest.mark.skipif(not LIBRARY, reason="CENET_OPS_LIBRARY names no library: make test-python sets it")


def session(model: Path, profile: Path | None = None, *, native: bool = True) -> ort.InferenceSession:
    options = ort.SessionOptions()
    if native:
        options.register_custom_ops_library(LIBRARY)
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return ort.InferenceSession(model / "model.onnx", options, providers=["CPUExecutionProvider"])


def golden(model: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    with np.load(model / "golden.npz") as arrays:
        outputs = dict(arrays)
    return {"input": outputs.pop("input")}, outputs


def assert_golden(opened: ort.InferenceSession, model: Path) -> None:
    inputs, expected = golden(model)
    for name, got in zip(expected, opened.run(list(expected), inputs), strict=True):
        assert np.abs(got - expected[name]).max() <= 1e-4 * np.abs(expected[name]).max(), name


def nodes(opened: ort.InferenceSession, operator: str = "ChannelEquilibrium") -> int:
    events = json.loads(Path(opened.end_profiling()).read_text())
    kernels = [event for event in events if event["name"].endswith("_kernel_time")]
    return sum(event["args"]["op_name"] == operator for event in kernels)


@pytest.mark.parametrize("path", MODELS)
def test_golden_outputs_come_from_the_kernel(path: str, tmp_path: Path) -> None:
    model = CHECKOUT / path
    opened = session(model, tmp_path / "profile")
    assert_golden(opened, model)
    assert nodes(opened) > 0


@pytest.mark.parametrize("path", MODELS)
def test_a_planned_network_gives_the_golden_outputs(path: str, tmp_path: Path, server_binary: Path) -> None:
    model, planned = CHECKOUT / path, tmp_path / "planned.onnx"
    subprocess.run([server_binary, "plan", model, "--output", planned], check=True, cwd=CHECKOUT)
    options = ort.SessionOptions()
    options.register_custom_ops_library(LIBRARY)
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    opened = ort.InferenceSession(planned, options, providers=["CPUExecutionProvider"])
    assert_golden(opened, model)
    assert nodes(opened, "BlockedChannelEquilibrium") > 0


@pytest.mark.parametrize("path", MODELS)
def test_the_body_runs_where_the_library_is_not_loaded(path: str, tmp_path: Path) -> None:
    model = CHECKOUT / path
    opened = session(model, tmp_path / "profile", native=False)
    assert_golden(opened, model)
    assert nodes(opened) == 0


def test_sessions_outlive_each_other_and_run_at_once() -> None:
    model = CHECKOUT / MODELS[0]
    first, second = session(model), session(model)
    assert_golden(first, model)
    del first
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            assert_golden(second, model)
        except BaseException as failure:  # whatever it is, the test tells it
            failures.append(failure)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
