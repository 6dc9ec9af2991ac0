"""8-bit networks: weights a scale a channel, activations by what calibration pictures gave, CE blocks in float.

The result is in ONNX's QDQ form: every tensor that an integer kernel reads passes a QuantizeLinear and a
DequantizeLinear, so that the file runs anywhere, and a runtime that knows integer kernels merges the pairs into them.
A CE block's node stays as it is, with a pair in front of it and another behind what follows it. Its parameters are not
quantised, nor what leaves it towards a residual addition, nor the network's outputs.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

from cenet.export.bias_correction import correct_biases
from cenet.export.calibrate import Observations
from cenet.export.errors import ExportError
from cenet.export.graph import block_nodes
from cenet.export.operator import DOMAIN
from cenet.export.pairs import MOVES, OPERATORS, Pairs
from cenet.export.sensitivity import layers_by_loss

_ACTIVATIONS = ("Relu", "Clip")
# Pictures by which layers are compared.
_LOSS_INPUTS = 16


def quantize_model(
    model: onnx.ModelProto, inputs: Iterable[np.ndarray], *, reduce_range: bool = False, float_layers: int = 0
) -> onnx.ModelProto:
    """A copy of `model` in 8-bit integers, with ranges by what its tensors hold for `inputs`, each [N, 3, H, W].

    `reduce_range` takes 7 bits for weights, for x86 processors whose products of 8 bits saturate: those without VNNI.
    The `float_layers` layers that would lose the most stay as they are.

    Raises:
        ExportError: if it is quantised already, or has nothing to quantise.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    operators = {node.op_type for node in folded.graph.node}
    if "QuantizeLinear" in operators:
        raise ExportError("the model is quantised already")
    if not operators & {"Conv", "Gemm", "MatMul"}:
        raise ExportError("the model has no convolution and no linear layer to quantise")
    _fold_norms(folded.graph)
    first: list[np.ndarray] = []
    observations = Observations(folded, _activations(folded.graph), _noting(first, inputs))
    quantized = _quantized(folded, observations, reduce_range)
    if float_layers:
        worst = layers_by_loss(quantized, folded, first)[:float_layers]
        quantized = _quantized(folded, observations, reduce_range, _with_activations(worst, folded.graph))
    _check_blocks(folded, quantized)
    quantized.producer_name, quantized.producer_version = model.producer_name, model.producer_version
    onnx.checker.check_model(quantized)
    return quantized


def _noting(first: list[np.ndarray], inputs: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """`inputs`, some of which are kept in `first`."""
    for given in inputs:
        if len(first) < _LOSS_INPUTS:
            first.append(given)
        yield given


def _quantized(
    folded: onnx.ModelProto, observations: Observations, reduce_range: bool, excluded: Iterable[str] = ()
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder, _quiet():
        file, ranges = Path(folder) / "model.onnx", Path(folder) / "ranges.json"
        found = {name: tuple(map(np.float32, ends)) for name, ends in observations.ranges.items()}
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, found), ranges)
        quantize_static(
            folded,
            file,
            calibration_cache_path=ranges,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*OPERATORS, *MOVES],
            nodes_to_exclude=list(excluded),
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(file)
    correct_biases(quantized, folded, observations.channel_means)
    Pairs(quantized.graph).tidy()
    return quantized


def _with_activations(layers: list[str], graph: onnx.GraphProto) -> list[str]:
    """`layers`, and the activations that follow them."""
    given = {name for node in graph.node if node.name in layers for name in node.output}
    return [*layers, *(node.name for node in graph.node if node.op_type in _ACTIVATIONS and node.input[0] in given)]


def _activations(graph: onnx.GraphProto) -> set[str]:
    """The tensors around what can be quantised, without weights."""
    weights = {tensor.name for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in {*OPERATORS, *MOVES}]
    return {name for node in nodes for name in (*node.input, *node.output) if name} - weights


def _fold_norms(graph: onnx.GraphProto) -> None:
    """Takes batch normalisations, which export leaves where convolutions share their weights, into the convolutions."""
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    replaced: set[str] = set()
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        convolution = next((node for node in graph.node if norm.input[0] in node.output), None)
        readers = sum(list(node.input).count(norm.input[0]) for node in graph.node)
        if convolution is None or convolution.op_type != "Conv" or readers != 1 or len(norm.output) != 1:
            continue
        scale, bias, mean, variance = (numpy_helper.to_array(arrays[name]) for name in norm.input[1:])
        epsilon = next((attribute.f for attribute in norm.attribute if attribute.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + np.float32(epsilon))
        weight = numpy_helper.to_array(arrays[convolution.input[1]])
        before = numpy_helper.to_array(arrays[convolution.input[2]]) if len(convolution.input) > 2 else 0
        folded = {
            f"{norm.output[0]}.weight": weight * factor.reshape(-1, *[1] * (weight.ndim - 1)),
            f"{norm.output[0]}.bias": (before - mean) * factor + bias,
        }
        graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in folded.items())
        replaced.update((*norm.input[1:], *convolution.input[1:]))
        convolution.input[1:] = list(folded)
        convolution.output[0] = norm.output[0]
        graph.node.remove(norm)
    replaced -= {name for node in graph.node for name in node.input}
    for name in replaced:
        graph.initializer.remove(arrays[name])


def _check_blocks(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    """Makes sure that the quantiser, which knows nothing of CE blocks, left them with their parameters and body."""
    left = block_nodes(after)
    if [node.input[1:] for node in block_nodes(before)] != [node.input[1:] for node in left]:
        raise ExportError("the quantiser changed a CE block")
    if left and not any(function.domain == DOMAIN for function in after.functions):
        after.functions.extend(function for function in before.functions if function.domain == DOMAIN)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the quantiser's advice off the terminal; errors still come as exceptions."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)
