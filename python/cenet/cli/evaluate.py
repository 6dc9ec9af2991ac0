"""`cenet-eval`: measures trained networks.

`cenet-eval detect --checkpoint FILE --data DIR` is for detectors: `--exported DIR` measures a model directory in
PyTorch, `--server URL` one that cenet-serve serves, with the same code and options. `cenet-eval distill` is for
students of `cenet-train distill`.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cenet.checkpoint import load_state, read_checkpoint
from cenet.detection.annotations import Annotations, read_part
from cenet.detection.decode import DecodeOptions, Detections
from cenet.detection.evaluation import AveragePrecision, average_precision, detect
from cenet.detection.network import build_detector
from cenet.detection.pictures import load_for_evaluation
from cenet.detection.remote import detect_over_http
from cenet.distillation.agreement import ablations, agreement, answer, answer_exported, block_groups
from cenet.distillation.pictures import find_pictures, load_inputs, read_split
from cenet.distillation.teacher import load_teacher
from cenet.errors import DataError
from cenet.export.restore import RestoredDetector, restore_directory
from cenet.networks import build_network


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with the reason on stderr."""
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        found = options.measure(options)
    except (ValueError, OSError) as error:
        print(f"cenet-eval: {error}", file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def _measure_detector(options: argparse.Namespace) -> dict[str, Any]:
    precision = _evaluate_detector(options)
    _report(precision)
    return asdict(precision)


def _evaluate_detector(options: argparse.Namespace) -> AveragePrecision:
    annotations = read_part(options.data, options.part)
    decoding = DecodeOptions(options.threshold, options.iou, max_detections=options.max_detections)
    if options.server:
        found = detect_over_http(options.server, annotations, decoding, options.model)
    else:
        found = _detect_here(options, annotations, decoding)
    return average_precision(found, annotations.pictures, annotations.labels)


def _detect_here(options: argparse.Namespace, annotations: Annotations, decoding: DecodeOptions) -> list[Detections]:
    if options.exported:
        detector = restore_directory(options.exported, options.backbone)
    else:
        detector = _from_checkpoint(options.checkpoint)
    if annotations.labels != detector.labels:
        raise DataError(f"the data has labels {annotations.labels}, the detector {detector.labels}")
    pictures = load_for_evaluation(annotations.pictures, detector.size, detector.fit, options.part)
    return detect(detector.network, pictures, options.batch_size, decoding)


def _from_checkpoint(file: Path) -> RestoredDetector:
    checkpoint = read_checkpoint(file)
    if checkpoint.task != "detect" or not checkpoint.preprocessing:
        raise DataError(f"{file} is no detector of cenet-train")
    network = build_detector(**checkpoint.arch_options)
    load_state(network, checkpoint.state)
    size, fit = checkpoint.preprocessing["size"], checkpoint.preprocessing["fit"]
    return RestoredDetector(network.eval(), checkpoint.labels, tuple(size), fit)


def _report(precision: AveragePrecision) -> None:
    print(f"{'label':20} {'AP50':>7} {'AP50-95':>8}")
    for name, (ap50, ap50_95) in precision.by_label.items():
        print(f"{name:20} {ap50:7.4f} {ap50_95:8.4f}")
    print(f"{'mean':20} {precision.map50:7.4f} {precision.map50_95:8.4f}")


def _measure_student(options: argparse.Namespace) -> dict[str, float]:
    teacher = load_teacher(options.teacher)
    pictures = read_split(options.split, options.part) if options.split else find_pictures(options.data)
    inputs = load_inputs(pictures, teacher.preprocessing, "pictures")
    taught = answer(teacher.network, inputs, options.batch_size, "teacher")
    if options.exported:
        found = asdict(agreement(answer_exported(options.exported, inputs, options.batch_size), taught))
    else:
        student = _student(options.checkpoint)
        found = asdict(agreement(answer(student, inputs, options.batch_size, "student"), taught))
        if options.ablations:
            found |= ablations(student, inputs, block_groups(student), options.batch_size)
    print(f"{len(pictures)} pictures")
    for name, value in found.items():
        print(f"{name:28} {value:7.4f}")
    return {"pictures": len(pictures), **found}


def _student(file: Path) -> nn.Module:
    checkpoint = read_checkpoint(file)
    if checkpoint.task != "classify" or checkpoint.arch is None:
        raise DataError(f"{file} is no classifier of cenet-train")
    network = build_network(checkpoint.arch, **checkpoint.arch_options)
    load_state(network, checkpoint.state)
    return network.to(memory_format=torch.channels_last)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cenet-eval", description="Measures trained networks.")
    tasks = parser.add_subparsers(required=True)
    _add_detect(tasks.add_parser("detect", help="average precision after COCO"))
    _add_distill(tasks.add_parser("distill", help="how far a student answers as its teacher"))
    return parser


def _add_distill(distill: argparse.ArgumentParser) -> None:
    distill.set_defaults(measure=_measure_student)
    measured = distill.add_mutually_exclusive_group(required=True)
    measured.add_argument("--checkpoint", type=Path, metavar="FILE", help="of cenet-train distill")
    measured.add_argument("--exported", type=Path, metavar="DIR", help="its model directory, run by ONNX Runtime")
    distill.add_argument("--teacher", required=True, metavar="NAME", help="as for cenet-train distill")
    shown = distill.add_mutually_exclusive_group(required=True)
    shown.add_argument("--data", type=Path, nargs="+", metavar="DIR", help="folders with pictures at any depth")
    shown.add_argument("--split", type=Path, metavar="FILE", help="split.tsv of the run, for what it held out")
    distill.add_argument("--part", default="test", choices=("train", "validation", "test"), help="of --split")
    distill.add_argument(
        "--ablations", action="store_true", help="also how many answers change without each CE block (--checkpoint)"
    )
    _add_common(distill, batch_size=32)


def _add_detect(detect: argparse.ArgumentParser) -> None:
    detect.set_defaults(measure=_measure_detector)
    measured = detect.add_mutually_exclusive_group(required=True)
    measured.add_argument("--checkpoint", type=Path, metavar="FILE", help="of cenet-train detect")
    measured.add_argument("--exported", type=Path, metavar="DIR", help="model directory of such a detector")
    measured.add_argument("--server", metavar="URL", help="a running cenet-serve, as http://127.0.0.1:8000")
    detect.add_argument("--model", metavar="NAME", help="of the server's models, where it serves several detectors")
    detect.add_argument("--backbone", default="ce_resnet_small", help="of --exported (default: %(default)s)")
    detect.add_argument("--data", type=Path, required=True, help="folder of a VOC data set, or of COCO files")
    detect.add_argument("--part", default="test", help="VOC image set, or COCO file relative to --data")
    detect.add_argument("--threshold", type=float, default=DecodeOptions.threshold, help="least score")
    detect.add_argument("--iou", type=float, default=DecodeOptions.iou, help="overlap above which boxes are suppressed")
    detect.add_argument(
        "--max-detections", type=int, default=DecodeOptions.max_detections, help="at most so many boxes a picture"
    )
    _add_common(detect, batch_size=8)


def _add_common(task: argparse.ArgumentParser, batch_size: int) -> None:
    task.add_argument("--batch-size", type=int, default=batch_size, help="pictures a step")
    task.add_argument("--threads", type=int, help="torch threads (default: one a core)")
    task.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")


if __name__ == "__main__":
    sys.exit(main())
