"""A CE network in an unmodified ONNX Runtime: by the body that the file carries, with the operator's shared library, and planned by
`cenet-serve plan` with that library.

    make build ops-library && python benches/ops_library.py models/ce_resnet_caltech101/1

In turns, so that a machine whose speed drifts is fair to both; medians in milliseconds. Needs onnxruntime and numpy, of the version that the server has.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort


def session(model: Path, threads: int, library: Path | None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # threads that spin would take the cores from the other sessions' turns
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if library:
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compare(
    model: Path, planned: Path, library: Path, threads: int, batch: int, turns: int
) -> None:
    ways = [(model, None), (model, library), (planned, library)]
    sessions = [session(file, threads, each) for file, each in ways]
    shape = [
        size if isinstance(size, int) else batch
        for size in sessions[0].get_inputs()[0].shape
    ]
    feed = {
        sessions[0].get_inputs()[0].name: np.random.default_rng(1).standard_normal(
            shape, np.float32
        )
    }
    times: list[list[float]] = [[] for _ in ways]
    for turn in range(turns + 2):
        for each, measured in zip(sessions, times, strict=True):
            begun = time.perf_counter()
            each.run(None, feed)
            if turn >= 2:  # the first ones warm up
                measured.append(1e3 * (time.perf_counter() - begun))
    body, kernel, plan = map(statistics.median, times)
    print(
        f"| {threads}, {batch} | {body:.2f} | {kernel:.2f} | {body / kernel:.2f} | {plan:.2f} | {body / plan:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="a model's folder")
    parser.add_argument(
        "--server", type=Path, default=Path("target/release/cenet-serve")
    )
    parser.add_argument(
        "--library", type=Path, default=Path("target/release/libce_op.so")
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--turns", type=int, default=40)
    options = parser.parse_args()
    print(
        "| threads, batch | body, ms | kernel, ms | times as fast | planned, ms | times as fast |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        planned = Path(folder) / "planned.onnx"
        command = [options.server, "plan", options.model, "--output", planned]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for threads in options.threads:
            for batch in options.batch:
                compare(
                    options.model / "model.onnx",
                    planned,
                    options.library,
                    threads,
                    batch,
                    options.turns,
                )


if __name__ == "__main__":
    main()
