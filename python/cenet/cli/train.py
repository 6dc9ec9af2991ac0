"""`cenet-train`: trains networks. `cenet-train classify --recipe caltech101 --data DIR` is a whole run."""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from cenet.networks import network_names
from cenet.training.recipe import RECIPES, Recipe
from cenet.training.run import LAST, TrainingRun

# All but the builder that cannot do without a block and layers.
_ARCHITECTURES = sorted(set(network_names()) - {"ce_resnet"})
_OVERRIDES = ("arch", "epochs", "batch_size", "image_size", "learning_rate", "precision")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    if (options.output / LAST).exists() and not options.resume:
        print(f"cenet-train: {options.output} holds a run already; add --resume to go on with it", file=sys.stderr)
        return 2
    try:
        run = TrainingRun(options.data, options.output, _recipe(options), options.norm, options.seed)
        if options.resume:
            run.resume()
        run.train()
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"cenet-train: {error}", file=sys.stderr)
        return 1
    return 0


def _recipe(options: argparse.Namespace) -> Recipe:
    given = {name: getattr(options, name) for name in _OVERRIDES if getattr(options, name) is not None}
    if options.exclude:
        given["exclude"] = tuple(options.exclude)
    return dataclasses.replace(RECIPES[options.recipe], **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cenet-train", description="Trains CE networks and their plain twins.")
    classify = parser.add_subparsers(required=True).add_parser("classify", help="train on a folder per class")
    classify.add_argument("--data", type=Path, required=True, help="folder with one folder of pictures per class")
    classify.add_argument("--output", type=Path, required=True, help="folder for checkpoints, curves and result")
    classify.add_argument("--recipe", choices=sorted(RECIPES), default="default")
    classify.add_argument("--norm", choices=("ce", "bn"), default="ce", help="bn: the same network without CE blocks")
    classify.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation; not of the split")
    classify.add_argument("--resume", action="store_true", help="go on after the last finished epoch")
    classify.add_argument("--threads", type=int, help="torch threads (default: one a core)")
    classify.add_argument("--exclude", action="append", help="class folder to leave out (repeatable)")
    classify.add_argument("--arch", choices=_ARCHITECTURES)
    classify.add_argument("--epochs", type=int)
    classify.add_argument("--batch-size", type=int, help="pictures a step")
    classify.add_argument("--image-size", type=int, help="side of the network's input in pixels")
    classify.add_argument("--learning-rate", type=float, help="highest rate of the schedule")
    classify.add_argument("--precision", choices=("float32", "bfloat16"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
