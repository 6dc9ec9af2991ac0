"""`cenet-export`: from a checkpoint file to a model directory that cenet-serve loads."""

import argparse
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from cenet.checkpoint import Checkpoint, load_state, read_checkpoint
from cenet.detection.network import build_detector
from cenet.detection.torchvision_detectors import KINDS, build_torchvision_detector
from cenet.export.check import TOLERANCE
from cenet.export.errors import ExportError
from cenet.export.graph import FIRST_OPSET, LAST_OPSET
from cenet.export.heads import ACTIVATIONS, BoxesHead, ClassifierHead, FcosHead, Head
from cenet.export.model_directory import GoldenSource, export_model
from cenet.export.one_picture import OnePicture, one_picture
from cenet.export.preprocess import Preprocess
from cenet.export.quantized_directory import Calibration, quantize_directory
from cenet.networks import build_network, network_names

_DESCRIPTION = f"""Exports a trained network to a model directory: model.onnx with one node per CE block, model.toml,
labels.txt and a golden pair. The model is run by ONNX Runtime and compared with PyTorch first; nothing is written if
they differ by more than {TOLERANCE:g} of the largest output. With --quantize, the network then becomes one in 8-bit
integers; CE blocks stay in float32."""

_EPILOG = """A checkpoint of cenet-train knows its network, labels and preprocessing: --checkpoint and --output are
enough. A checkpoint of the CE paper's authors needs --labels besides, and --arch if it isn't of resnetv1ce50. A state
dict of a torchvision detector needs --detector, --arch (its backbone), --labels and --size."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 if nothing was exported, with the reason on stderr."""
    options = _parser().parse_args(arguments)
    # As an exception, a request to stop leaves no half-written directory.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _export(options)
    except (ValueError, OSError) as error:
        print(f"cenet-export: {error}", file=sys.stderr)
        return 1
    return 0


def _export(options: argparse.Namespace) -> None:
    if options.output.exists() and not options.force:
        raise ExportError(f"{options.output} exists already; --force replaces it")
    if options.quantize != bool(options.calibration):
        raise ExportError("--quantize and --calibration go together: activations get their ranges from pictures")
    if not options.quantize:
        if options.source:
            raise ExportError("--from is for --quantize")
        return _export_checkpoint(options, options.output)
    if options.source:
        return _quantize(options, options.source)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / options.output.absolute().parent.name / "1"
        _export_checkpoint(options, source)
        _quantize(options, source)


def _quantize(options: argparse.Namespace, source: Path) -> None:
    calibration = Calibration(
        options.calibration,
        options.calibration_count,
        options.calibration_seed,
        reduce_range=options.reduce_range,
        float_layers=options.float_layers,
    )
    print(quantize_directory(source, options.output, calibration, force=options.force))


def _export_checkpoint(options: argparse.Namespace, output: Path) -> None:
    golden = GoldenSource(options.golden_image, options.golden)
    checkpoint = read_checkpoint(options.checkpoint)
    labels = _labels(options, checkpoint)
    network = _network(options, checkpoint, labels)
    report = export_model(
        network,
        output,
        labels=labels,
        preprocess=_preprocess(options, checkpoint),
        golden=golden,
        head=_head(options, checkpoint, network),
        description=options.description,
        license=options.license,
        default=options.default,
        opset=options.opset,
        force=options.force,
    )
    print(f"{report.output}: {report.ce_nodes} CE nodes, {report.model_bytes / 1e6:.1f} MB")
    for difference in report.differences:
        print(difference)


def _network(options: argparse.Namespace, checkpoint: Checkpoint, labels: list[str] | None) -> nn.Module:
    if checkpoint.task == "detect" and options.arch:
        raise ExportError("a detector's checkpoint knows its network: leave --arch out")
    arch = options.arch or checkpoint.arch
    if arch is None:
        raise ExportError(f"{options.checkpoint} doesn't say which network it is of: name it with --arch")
    if options.detector:
        return _torchvision_detector(options, checkpoint, arch, labels)
    known = checkpoint.arch_options if arch == checkpoint.arch else {}
    try:
        build = build_detector if checkpoint.task == "detect" else partial(build_network, arch)
        network = build(**(known | dict(options.arch_option)))
    except TypeError as error:
        raise ExportError(f"{arch} can't be built with these --arch-option values: {error}") from error
    load_state(network, checkpoint.state)
    return network


def _torchvision_detector(
    options: argparse.Namespace, checkpoint: Checkpoint, backbone: str, labels: list[str] | None
) -> OnePicture:
    given = ({"num_classes": len(labels)} if labels else {}) | dict(options.arch_option)
    if "num_classes" not in given:
        raise ExportError(
            "a torchvision detector's labels are told by --labels, or their number by --arch-option num_classes=N"
        )
    try:
        detector = build_torchvision_detector(options.detector, backbone, **given)
    except TypeError as error:
        raise ExportError(f"{options.detector} can't be built from these --arch-option values: {error}") from error
    load_state(detector, checkpoint.state)
    return one_picture(detector)


def _head(options: argparse.Namespace, checkpoint: Checkpoint, network: nn.Module) -> Head:
    detects = options.detector or checkpoint.task == "detect"
    if detects and options.activation:
        raise ExportError("a detector's scores need no --activation")
    if options.detector:
        return BoxesHead.of(network)
    return FcosHead() if detects else ClassifierHead(options.activation or "softmax")


def _labels(options: argparse.Namespace, checkpoint: Checkpoint) -> list[str] | None:
    if options.labels:
        return options.labels.read_text(encoding="utf-8").splitlines()
    if not checkpoint.labels:
        print("cenet-export: no labels given, the outputs are called class_0, class_1, ...", file=sys.stderr)
    return checkpoint.labels


def _preprocess(options: argparse.Namespace, checkpoint: Checkpoint) -> Preprocess:
    """What the checkpoint declares (or torchvision's defaults for ImageNet), changed by what is given."""
    declared = Preprocess.from_checkpoint(checkpoint.preprocessing) if checkpoint.preprocessing else Preprocess()
    if checkpoint.task == "detect" and (options.size or options.resize_to or options.stretch):
        raise ExportError("a detector is exported for the size that it was trained with")
    if options.detector and (options.size is None or options.resize_to):
        raise ExportError("a torchvision detector sees whole pictures of one size: name it with --size HEIGHT WIDTH")
    if options.size and len(options.size) > 2:
        raise ExportError(f"--size takes one number, or a height and a width, not {len(options.size)} numbers")
    size = (options.size[0], options.size[-1]) if options.size else declared.size
    resize_to = declared.resize_to if options.size is None else round(max(size) * 256 / 224)
    if options.stretch or options.resize_to or options.detector:
        resize_to = options.resize_to
    return Preprocess(
        size,
        resize_to,
        options.filter or declared.filter,
        tuple(options.mean or declared.mean),
        tuple(options.std or declared.std),
        declared.letterbox or bool(options.detector and not options.stretch),
    )


def _arch_option(text: str) -> tuple[str, Any]:
    """`name=value`: numbers become int or float, and what has a comma a tuple of them."""
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    if "," in value:
        return name, tuple(_scalar(part) for part in value.split(",") if part)
    return name, _scalar(value)


def _scalar(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cenet-export", description=_DESCRIPTION, epilog=_EPILOG)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights to export")
    source.add_argument("--from", dest="source", type=Path, metavar="DIR", help="model directory to quantise")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="as models/NAME/1; must not exist")
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
    _add_network_options(parser.add_argument_group("network"))
    _add_preprocess_options(parser.add_argument_group("preprocessing, default: the checkpoint's, or ImageNet's"))
    _add_golden_options(parser.add_argument_group("golden pair, default: a random input and PyTorch's output"))
    _add_manifest_options(parser.add_argument_group("model"))
    _add_quantization_options(parser.add_argument_group("8 bits"))
    return parser


def _add_quantization_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--quantize", action="store_true", help="write the network in 8-bit integers")
    group.add_argument("--calibration", type=Path, metavar="DIR", help="pictures like those that it will see")
    group.add_argument(
        "--calibration-count", type=int, default=200, metavar="N", help="how many of them to calibrate with (200)"
    )
    group.add_argument("--calibration-seed", type=int, default=0, metavar="SEED", help="draws them (0)")
    group.add_argument(
        "--reduce-range", action="store_true", help="7 bits for weights: for x86 processors without VNNI"
    )
    group.add_argument(
        "--float-layers", type=int, default=0, metavar="N", help="leave the N layers that lose the most in floats (0)"
    )


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--arch", choices=network_names(), help="default: the checkpoint's")
    group.add_argument("--detector", choices=KINDS, help="a detector of torchvision, with --arch for its backbone")
    group.add_argument(
        "--arch-option",
        type=_arch_option,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the network's builder, as num_classes=10 or layers=1,1,1,1 (repeatable)",
    )


def _add_preprocess_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--size", type=int, nargs="+", metavar="PIXELS", help="height and width of the input, or both")
    resize = group.add_mutually_exclusive_group()
    resize.add_argument(
        "--resize-to", type=int, metavar="PIXELS", help="shorter side before the centre crop (default: size * 256/224)"
    )
    resize.add_argument(
        "--stretch", action="store_true", help="resize straight to the size instead (with --detector: letterboxed)"
    )
    group.add_argument("--filter", choices=("nearest", "bilinear", "bicubic", "lanczos"))
    group.add_argument("--mean", type=float, nargs=3, metavar=("R", "G", "B"), help="of pixels in 0 to 1")
    group.add_argument("--std", type=float, nargs=3, metavar=("R", "G", "B"), help="of pixels in 0 to 1")


def _add_golden_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--golden-image", type=Path, metavar="FILE", help="picture to preprocess as the input")
    group.add_argument("--golden", type=Path, metavar="FILE.npz", help="archive of `input` and the outputs")


def _add_manifest_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--labels", type=Path, metavar="FILE", help="one a line, in the order of the outputs (default: class_0, ...)"
    )
    group.add_argument("--activation", choices=ACTIVATIONS, help="from logits to scores (default: softmax)")
    group.add_argument("--description", metavar="TEXT", help="one sentence for people")
    group.add_argument("--license", metavar="SPDX", help="licence of the weights")
    group.add_argument("--default", action="store_true", help="it answers when a request names no model of its task")
    group.add_argument("--opset", type=int, choices=range(FIRST_OPSET, LAST_OPSET + 1), default=FIRST_OPSET)


if __name__ == "__main__":
    sys.exit(main())
