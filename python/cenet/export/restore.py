"""The way back: weights of an exported `model.onnx` loaded into the network that it was exported from.

Export folds CE blocks into the operator's inputs, and batch normalisations into the convolutions before them. What
comes back computes the same, up to rounding, but is not the checkpoint: a folded normalisation becomes one that only
adds its bias, and a CE block's weight is set to a half. For comparing and measuring, not for training on.
"""

import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from cenet.block import CEBlock
from cenet.checkpoint import load_state
from cenet.detection.network import STRIDES, Detector, build_detector
from cenet.export.errors import ExportError
from cenet.export.graph import block_nodes
from cenet.networks import build_network
from cenet.placement import FIT_MODES, FitMode

Arrays = Mapping[str, Tensor]


class RestoredDetector(NamedTuple):
    """A detector's model directory in PyTorch."""

    network: Detector
    labels: list[str]
    size: tuple[int, int]
    """Height and width of the input, in pixels."""
    fit: FitMode
    """How a picture gets to that size."""


def restore_directory(directory: Path, backbone: str = "ce_resnet_small") -> RestoredDetector:
    """The detector of a model directory that `cenet-export` wrote.

    Raises:
        ExportError: if it holds no detector of `cenet.detection`.
        StateMismatchError: if it is one on another backbone.
        OSError: if a file can't be read.
    """
    try:
        preprocess = tomllib.loads((directory / "model.toml").read_text(encoding="utf-8"))["preprocess"]
        size, fit = tuple(preprocess["size"]), preprocess["resize"]["mode"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ExportError(f"{directory / 'model.toml'} is no manifest: {error!r}") from error
    if fit not in FIT_MODES:
        raise ExportError(f"{directory} is no detector's: pictures are resized by {fit}")
    labels = (directory / "labels.txt").read_text(encoding="utf-8").splitlines()
    return RestoredDetector(restore_detector(directory / "model.onnx", backbone), labels, size, fit)


def restore_detector(file: str | PathLike[str], backbone: str = "ce_resnet_small", **options) -> Detector:
    """The detector of `cenet.detection` in the ONNX file `file`, in evaluation mode; `options` go to the backbone.

    Raises:
        ExportError: if the file holds no such detector.
        StateMismatchError: if it is one on another backbone.
    """
    model = onnx.load(Path(file))
    arrays = _arrays(model)
    if "class_output.weight" not in arrays:
        raise ExportError(f"{file} holds no detector of cenet-train")
    labels, channels = arrays["class_output.weight"].shape[:2]
    depth = sum(name.startswith("class_tower.convolutions.") for name in arrays)
    options = {"norm": "ce" if block_nodes(model) else "bn", **options}
    network = build_detector(backbone, num_classes=labels, channels=channels, depth=depth, **options)
    load_state(network, _state(network, model, arrays) | {"box_scales": _box_scales(model, arrays)})
    return network.eval()


def restore_classifier(directory: Path, arch: str) -> nn.Module:
    """The classifier of a model directory, a network of the name `arch`, in evaluation mode.

    Raises:
        StateMismatchError: if it is another network.
        OSError: if a file can't be read.
    """
    model = onnx.load(directory / "model.onnx")
    labels = (directory / "labels.txt").read_text(encoding="utf-8").splitlines()
    network = build_network(arch, norm="ce" if block_nodes(model) else "bn", num_classes=len(labels))
    load_state(network, _state(network, model, _arrays(model)))
    return network.eval()


def _arrays(model: onnx.ModelProto) -> dict[str, Tensor]:
    return {
        tensor.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor)))
        for tensor in model.graph.initializer
    }


def _state(network: nn.Module, model: onnx.ModelProto, arrays: Arrays) -> dict[str, Tensor]:
    """The network's state as far as initialisers tell it; what the outputs don't depend on stays as it is.

    Equal initialisers are in the file once, under one of their names, so that nodes say what belongs to what.
    """
    expected = network.state_dict()
    state = {
        name: value for name, value in expected.items() if name.endswith((".num_batches_tracked", ".running_mean"))
    }
    state |= {name: arrays[name] for name in expected if name in arrays}
    convolutions = {node.input[1]: node for node in model.graph.node if node.op_type == "Conv"}
    norms = {node.input[3]: node for node in model.graph.node if node.op_type == "BatchNormalization"}
    blocks = {node.name: node for node in block_nodes(model)}
    for name, module in network.named_modules():
        convolution = convolutions.get(f"{name}.weight")
        if convolution and len(convolution.input) == 3:
            bias = arrays[convolution.input[2]]
            folded = module.bias is None
            state |= _unfolded_norm(network, _norm_behind(name), bias) if folded else {f"{name}.bias": bias}
        elif norm := norms.get(f"{name}.running_mean"):
            state |= {f"{name}.weight": arrays[norm.input[1]], f"{name}.bias": arrays[norm.input[2]]}
        elif isinstance(module, CEBlock) and name in blocks:
            state |= _unfolded_block(name, blocks[name], arrays)
    return state


def _norm_behind(convolution: str) -> str:
    """The normalisation's name: `conv2`: `bn2`; in a sequence, the next."""
    parent, _, last = convolution.rpartition(".")
    last = str(int(last) + 1) if last.isdigit() else last.replace("conv", "bn")
    return f"{parent}.{last}" if parent else last


def _unfolded_norm(network: nn.Module, name: str, bias: Tensor) -> dict[str, Tensor]:
    norm = network.get_submodule(name)
    return {
        f"{name}.weight": torch.ones_like(bias),
        f"{name}.bias": bias,
        f"{name}.running_mean": torch.zeros_like(bias),
        f"{name}.running_var": torch.full_like(bias, 1 - norm.eps),
    }


def _unfolded_block(name: str, node: onnx.NodeProto, arrays: Arrays) -> dict[str, Tensor]:
    """With an `x_weight` of 0, whose sigmoid is a half; see `cenet.export.operator.FoldedBlock`."""
    whitening, fc1, scale, bias, fc2 = (arrays[weight] for weight in node.input[1:])
    return {
        f"{name}.x_weight": torch.zeros(1),
        f"{name}.running_wm": 2 * whitening,
        f"{name}.AR.running_scale": torch.tensor([0.5 / onnx.helper.get_node_attr_value(node, "gate_scale")]),
        f"{name}.AR.fc.0.weight": fc1,
        f"{name}.AR.fc.1.weight": scale,
        f"{name}.AR.fc.1.bias": bias,
        f"{name}.AR.fc.3.weight": fc2,
    }


def _box_scales(model: onnx.ModelProto, arrays: Arrays) -> Tensor:
    """The factor of each level, which has no name of its own: what the box output's convolution is multiplied by.

    A factor of 1 isn't in the graph.
    """
    convolved = [node.output[0] for node in model.graph.node if "box_output.weight" in node.input]
    if len(convolved) != len(STRIDES):
        raise ExportError(f"the graph has boxes at {len(convolved)} levels, not at {len(STRIDES)}")
    factors = {
        node.input[0]: arrays[node.input[1]].reshape(())
        for node in model.graph.node
        if node.op_type == "Mul" and node.input[1] in arrays
    }
    return torch.stack([factors.get(output, torch.tensor(1.0)) for output in convolved])
