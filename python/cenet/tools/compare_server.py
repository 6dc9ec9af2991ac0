"""Measures a detector in PyTorch and as cenet-serve serves it: `python -m cenet.tools.compare_server`.

Starts the server on a free port with the model's repository, prints both mean average precisions, and fails when those
at an IoU of 0.5 are further apart than the tolerance.
"""

import argparse
import collections
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cenet.detection.annotations import Annotations, read_part
from cenet.detection.decode import DecodeOptions
from cenet.detection.evaluation import AveragePrecision, average_precision, detect
from cenet.detection.pictures import load_for_evaluation
from cenet.detection.remote import detect_over_http
from cenet.errors import DataError
from cenet.export.restore import restore_directory

_START_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 30


class Comparison(NamedTuple):
    """The same pictures measured twice."""

    pytorch: AveragePrecision
    server: AveragePrecision

    @property
    def difference(self) -> float:
        """Of the mean average precisions at an IoU of 0.5."""
        return abs(self.pytorch.map50 - self.server.map50)


@contextlib.contextmanager
def serving(binary: Path, repository: Path, folder: Path | None = None) -> Iterator[str]:
    """The URL of a server with the models of `repository`, started in `folder`; it ends with the context.

    Raises:
        DataError: if it doesn't come to listen.
    """
    command = [binary.absolute(), "serve", "--http-addr", "127.0.0.1:0", "--single-port", "--log-format", "json"]
    command += ["--model-repository", repository.absolute()]
    environment = {name: value for name, value in os.environ.items() if name != "CENET_LOG"}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = _address(process)
            # What is logged later is read and dropped: a full pipe would stop the server.
            reader = threading.Thread(target=collections.deque, args=(process.stderr, 0))
            reader.start()
            try:
                yield f"http://{address}"
            finally:
                _stop(process)
                reader.join()
        finally:
            _stop(process)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _address(process: subprocess.Popen) -> str:
    """The host and port that the server's log names."""
    watchdog = threading.Timer(_START_TIMEOUT_S, process.kill)
    watchdog.start()
    last = collections.deque(maxlen=5)
    try:
        for line in process.stderr:
            last.append(line)
            if address := _named_address(line):
                return address
    finally:
        watchdog.cancel()
    raise DataError(f"the server ended before it listened: {''.join(last).strip()}")


def _named_address(line: str) -> str | None:
    try:
        return json.loads(line).get("http_addr")
    except (json.JSONDecodeError, AttributeError):
        return None


def compare(binary: Path, model: Path, annotations: Annotations, backbone: str = "ce_resnet_small") -> Comparison:
    """Measures the model directory `model`, NAME/VERSION in its repository, on the annotated pictures."""
    options = DecodeOptions()
    detector = restore_directory(model, backbone)
    inputs = load_for_evaluation(annotations.pictures, detector.size, detector.fit, "pictures")
    here = detect(detector.network, inputs, 1, options)
    # The checkout holds the library that the server needs.
    checkout = Path(__file__).resolve().parents[3]
    with serving(binary, model.absolute().parents[1], checkout if checkout.is_dir() else None) as url:
        there = detect_over_http(url, annotations, options, model.absolute().parent.name)
    return Comparison(*(average_precision(found, annotations.pictures, annotations.labels) for found in (here, there)))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, required=True, metavar="FILE", help="cenet-serve")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model directory of a detector")
    parser.add_argument("--backbone", default="ce_resnet_small", help="what it is built on (default: %(default)s)")
    parser.add_argument("--data", type=Path, required=True, help="folder of a VOC data set, or of COCO files")
    parser.add_argument("--part", default="test", help="VOC image set, or COCO file relative to --data")
    parser.add_argument("--tolerance", type=float, default=0.002, help="of mAP50 (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        comparison = compare(options.binary, options.model, read_part(options.data, options.part), options.backbone)
    except (ValueError, OSError) as error:
        print(f"compare_server: {error}", file=sys.stderr)
        return 1
    print(f"{'':18} {'mAP50':>8} {'mAP50-95':>8}")
    for name, precision in (("PyTorch", comparison.pytorch), ("server over HTTP", comparison.server)):
        print(f"{name:18} {precision.map50:8.5f} {precision.map50_95:8.5f}")
    print(f"mAP50 differs by {comparison.difference:.5f}, {options.tolerance:g} is allowed")
    return 0 if comparison.difference <= options.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
