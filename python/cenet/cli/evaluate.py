"""`cenet-eval`: measures trained networks. `cenet-eval detect --checkpoint FILE --data DIR` is for detectors."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from cenet.checkpoint import Checkpoint, load_state, read_checkpoint
from cenet.detection.annotations import read_part
from cenet.detection.decode import DecodeOptions
from cenet.detection.evaluation import AveragePrecision, average_precision, detect
from cenet.detection.network import build_detector
from cenet.detection.pictures import load_for_evaluation
from cenet.errors import DataError


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with the reason on stderr."""
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        precision = _evaluate_detector(options)
    except (ValueError, OSError) as error:
        print(f"cenet-eval: {error}", file=sys.stderr)
        return 1
    _report(precision)
    if options.json:
        options.json.write_text(json.dumps(asdict(precision), indent=2) + "\n")
    return 0


def _evaluate_detector(options: argparse.Namespace) -> AveragePrecision:
    checkpoint = read_checkpoint(options.checkpoint)
    if checkpoint.task != "detect" or not checkpoint.preprocessing:
        raise DataError(f"{options.checkpoint} is no detector of cenet-train")
    annotations = read_part(options.data, options.part)
    if annotations.labels != checkpoint.labels:
        raise DataError(f"the data has labels {annotations.labels}, the detector {checkpoint.labels}")
    size = tuple(checkpoint.preprocessing["size"])
    pictures = load_for_evaluation(annotations.pictures, size, checkpoint.preprocessing["fit"], options.part)
    decoding = DecodeOptions(options.threshold, options.iou)
    found = detect(_network(checkpoint), pictures, options.batch_size, decoding)
    return average_precision(found, annotations.pictures, annotations.labels)


def _network(checkpoint: Checkpoint) -> nn.Module:
    network = build_detector(**checkpoint.arch_options)
    load_state(network, checkpoint.state)
    return network.eval()


def _report(precision: AveragePrecision) -> None:
    print(f"{'label':20} {'AP50':>7} {'AP50-95':>8}")
    for name, (ap50, ap50_95) in precision.by_label.items():
        print(f"{name:20} {ap50:7.4f} {ap50_95:8.4f}")
    print(f"{'mean':20} {precision.map50:7.4f} {precision.map50_95:8.4f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cenet-eval", description="Measures trained networks.")
    detect = parser.add_subparsers(required=True).add_parser("detect", help="average precision after COCO")
    detect.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="of cenet-train detect")
    detect.add_argument("--data", type=Path, required=True, help="folder of a VOC data set, or of COCO files")
    detect.add_argument("--part", default="test", help="VOC image set, or COCO file relative to --data")
    detect.add_argument("--threshold", type=float, default=DecodeOptions.threshold, help="least score")
    detect.add_argument("--iou", type=float, default=DecodeOptions.iou, help="overlap above which boxes are suppressed")
    detect.add_argument("--batch-size", type=int, default=8, help="pictures a step")
    detect.add_argument("--threads", type=int, help="torch threads (default: one a core)")
    detect.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
