"""`cenet-train`: trains networks. `cenet-train classify --recipe caltech101 --data DIR` is a whole run."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch

from cenet.detection import recipe as detection_recipe
from cenet.detection.run import DetectionRun
from cenet.distillation import recipe as distillation_recipe
from cenet.distillation.run import DistillationRun
from cenet.distillation.teacher import PUBLISHED, load_teacher
from cenet.networks import network_names
from cenet.placement import FIT_MODES
from cenet.training import recipe as classification_recipe
from cenet.training.classification import ClassificationRun
from cenet.training.run import LAST, Run

# All but the builder that cannot do without a block and layers.
_ARCHITECTURES = sorted(set(network_names()) - {"ce_resnet"})


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    if (options.output / LAST).exists() and not options.resume:
        print(f"cenet-train: {options.output} holds a run already; add --resume to go on with it", file=sys.stderr)
        return 2
    try:
        run = options.start(options)
        if options.resume:
            run.resume()
        run.train()
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"cenet-train: {error}", file=sys.stderr)
        return 1
    return 0


def _start_classification(options: argparse.Namespace) -> Run:
    recipe = _changed(classification_recipe.RECIPES[options.recipe], options)
    if options.image_size:
        # The usual margins around the crop.
        margins = {
            "evaluation_resize": round(recipe.image_size * 8 / 7),
            "training_resize": round(recipe.image_size * 9 / 7),
        }
        recipe = dataclasses.replace(recipe, **margins)
    return ClassificationRun(options.data, options.output, recipe, options.norm, options.seed, options.init)


def _start_detection(options: argparse.Namespace) -> Run:
    recipe = _changed(detection_recipe.RECIPES[options.recipe], options)
    return DetectionRun(options.data, options.output, recipe, options.norm, options.seed, options.init)


def _start_distillation(options: argparse.Namespace) -> Run:
    recipe = _changed(distillation_recipe.RECIPES[options.recipe], options)
    teacher = load_teacher(options.teacher)
    return DistillationRun(options.data, options.output, recipe, options.seed, teacher, options.test_data)


def _changed(recipe: Any, options: argparse.Namespace) -> Any:
    """The recipe with the fields that options of the same name were given for."""
    given = {field.name: getattr(options, field.name, None) for field in dataclasses.fields(recipe)}
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return dataclasses.replace(recipe, **{name: value for name, value in changes.items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cenet-train", description="Trains CE networks and their plain twins.")
    tasks = parser.add_subparsers(required=True)
    _add_classify(tasks.add_parser("classify", help="train on a folder per class"))
    _add_detect(tasks.add_parser("detect", help="train a detector on pictures with boxes (Pascal VOC or COCO)"))
    _add_distill(tasks.add_parser("distill", help="teach a CE network what a plain one knows, without labels"))
    return parser


def _add_classify(classify: argparse.ArgumentParser) -> None:
    classify.set_defaults(start=_start_classification)
    classify.add_argument("--data", type=Path, required=True, help="folder with one folder of pictures per class")
    _add_common(classify, sorted(classification_recipe.RECIPES))
    classify.add_argument(
        "--init", type=Path, metavar="PATH", help="checkpoint or model directory of the same network: the first weights"
    )
    classify.add_argument("--exclude", action="append", help="class folder to leave out (repeatable)")
    classify.add_argument("--arch", choices=_ARCHITECTURES)
    classify.add_argument("--image-size", type=int, help="side of the network's input in pixels")


def _add_detect(detect: argparse.ArgumentParser) -> None:
    detect.set_defaults(start=_start_detection)
    detect.add_argument("--data", type=Path, required=True, help="folder of a VOC data set, or of COCO files")
    _add_common(detect, sorted(detection_recipe.RECIPES))
    detect.add_argument("--backbone", choices=_ARCHITECTURES)
    detect.add_argument(
        "--init",
        type=Path,
        metavar="PATH",
        help="first weights: checkpoint or model directory of the backbone as a classifier, or a detector's checkpoint",
    )
    detect.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="of the input; multiples of 32")
    detect.add_argument("--fit", choices=FIT_MODES, help="how a picture gets to that size")
    detect.add_argument("--train-part", metavar="PART", help="VOC image set, or COCO file relative to --data")
    detect.add_argument("--test-part", metavar="PART", help="the same")


def _add_distill(distill: argparse.ArgumentParser) -> None:
    distill.set_defaults(start=_start_distillation)
    distill.add_argument(
        "--teacher",
        required=True,
        metavar="NAME",
        help=f"{PUBLISHED} (pip install cenet[teacher]), or a checkpoint of cenet-train classify --norm bn",
    )
    distill.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders with pictures at any depth"
    )
    distill.add_argument(
        "--test-data", type=Path, nargs="+", default=[], metavar="DIR", help="measured at the end, never trained on"
    )
    _add_run(distill, sorted(distillation_recipe.RECIPES))
    distill.add_argument("--crops-per-epoch", type=int, help="pictures an epoch")
    distill.add_argument("--ce-learning-rate", type=float, help="highest rate of the CE blocks' own parameters")


def _add_common(task: argparse.ArgumentParser, recipes: list[str]) -> None:
    _add_run(task, recipes)
    task.add_argument("--norm", choices=("ce", "bn"), default="ce", help="bn: the same network without CE blocks")


def _add_run(task: argparse.ArgumentParser, recipes: list[str]) -> None:
    task.add_argument("--output", type=Path, required=True, help="folder for checkpoints, curves and result")
    task.add_argument("--recipe", choices=recipes, default="default")
    task.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation; not of the split")
    task.add_argument("--resume", action="store_true", help="go on after the last finished epoch")
    task.add_argument("--threads", type=int, help="torch threads (default: one a core)")
    task.add_argument("--epochs", type=int)
    task.add_argument("--batch-size", type=int, help="pictures a step")
    task.add_argument("--learning-rate", type=float, help="highest rate of the schedule")
    task.add_argument("--precision", choices=("float32", "bfloat16"))


if __name__ == "__main__":
    sys.exit(main())
