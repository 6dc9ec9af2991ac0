"""A CE network in an unmodified ONNX Runtime, with the operator's shared library and by the body that the file carries.

    make ops-library && python benches/ops_library.py models/ce_resnet_caltech101/1/model.onnx

In turns, so that a machine whose speed drifts is fair to both; medians in milliseconds. Needs onnxruntime and numpy.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort


def session(model: Path, threads: int, library: Path | None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    if library:
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compare(model: Path, library: Path, threads: int, batch: int, turns: int) -> None:
    sessions = [session(model, threads, each) for each in (library, None)]
    shape = [size if isinstance(size, int) else batch for size in sessions[0].get_inputs()[0].shape]
    feed = {sessions[0].get_inputs()[0].name: np.random.default_rng(1).standard_normal(shape, np.float32)}
    times: list[list[float]] = [[], []]
    for turn in range(turns + 2):
        for each, measured in zip(sessions, times, strict=True):
            begun = time.perf_counter()
            each.run(None, feed)
            if turn >= 2:  # the first ones warm up
                measured.append(1e3 * (time.perf_counter() - begun))
    kernel, body = map(statistics.median, times)
    print(f"{threads} threads, batch {batch}: kernel {kernel:.2f} ms, body {body:.2f} ms, {body / kernel:.2f} times as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--library", type=Path, default=Path("target/release/libce_op.so"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--turns", type=int, default=40)
    options = parser.parse_args()
    for threads in options.threads:
        for batch in options.batch:
            compare(options.model, options.library, threads, batch, options.turns)


if __name__ == "__main__":
    main()
