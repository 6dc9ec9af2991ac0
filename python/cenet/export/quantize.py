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
from cenet.export.operator import DOMAIN, NAME
from cenet.export.sensitivity import layers_by_loss

# What has integer kernels, and what hands integers on.
_OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool")
_MOVES = ("Resize", "Concat", "Reshape", "Flatten", "Squeeze")
# For whom a tensor is worth being in integers.
_READERS = {*_OPERATORS, *_MOVES, "ReduceMean", NAME}
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
            op_types_to_quantize=[*_OPERATORS, *_MOVES],
            nodes_to_exclude=list(excluded),
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(file)
    correct_biases(quantized, folded, observations.channel_means)
    _Pairs(quantized.graph).tidy()
    return quantized


def _with_activations(layers: list[str], graph: onnx.GraphProto) -> list[str]:
    """`layers`, and the activations that follow them."""
    given = {name for node in graph.node if node.name in layers for name in node.output}
    return [*layers, *(node.name for node in graph.node if node.op_type in _ACTIVATIONS and node.input[0] in given)]


def _activations(graph: onnx.GraphProto) -> set[str]:
    """The tensors around what can be quantised, without weights."""
    weights = {tensor.name for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in {*_OPERATORS, *_MOVES}]
    return {name for node in nodes for name in (*node.input, *node.output) if name} - weights


class _Pairs:
    """The pairs of QuantizeLinear and DequantizeLinear between a graph's nodes."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._outputs = {value.name for value in graph.output}

    def tidy(self) -> None:
        """Takes out the pairs that cost precision and bring nothing, and puts those in that bring speed."""
        for node in [node for node in self._graph.node if node.op_type == "MaxPool"]:
            self._quantize_before(node)
        for node in [node for node in self._graph.node if node.op_type == "DequantizeLinear"]:
            self._take_out_if_idle(node)
        self._give_each_layer_its_weights()
        read = {name for node in self._graph.node for name in node.input}
        for tensor in [tensor for tensor in self._graph.initializer if tensor.name not in read]:
            self._graph.initializer.remove(tensor)

    def _giver(self, name: str) -> onnx.NodeProto | None:
        return next((node for node in self._graph.node if name in node.output), None)

    def _readers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self._graph.node if name in node.input]

    def _quantize_before(self, pool: onnx.NodeProto) -> None:
        """A maximum is the same before rounding and behind it: the pair behind the pool goes before it, too."""
        giver = self._giver(pool.input[0])
        behind = [node for node in self._readers(pool.output[0]) if node.op_type == "QuantizeLinear"]
        if giver is None or giver.op_type == "DequantizeLinear" or not behind:
            return
        name, linear = pool.input[0], behind[0].input[1:]
        pair = [
            onnx.helper.make_node("QuantizeLinear", [name, *linear], [f"{name}_quantized"]),
            onnx.helper.make_node("DequantizeLinear", [f"{name}_quantized", *linear], [f"{name}_dequantized"]),
        ]
        place = list(self._graph.node).index(pool)
        for node in reversed(pair):
            self._graph.node.insert(place, node)
        pool.input[0] = f"{name}_dequantized"

    def _give_each_layer_its_weights(self) -> None:
        """A copy for each layer but the first that shares them.

        ONNX Runtime 1.32 can't load shared ones, nor their zero points, where it makes them unsigned, as it does with
        `session.x64quantprecision` where there is no VNNI.
        """
        arrays = {tensor.name: tensor for tensor in self._graph.initializer}
        taken: set[str] = set()
        for layer in [node for node in self._graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]:
            dequantize = self._giver(layer.input[1])
            if dequantize is None or dequantize.input[0] not in arrays:
                continue
            if dequantize.input[0] in taken:
                own = onnx.NodeProto()
                own.CopyFrom(dequantize)
                own.name, own.output[0] = f"{layer.name}.dequantize", f"{layer.output[0]}.weight"
                for index, called in ((0, "weight_quantized"), (2, "weight_zero_point")):
                    tensor = onnx.TensorProto()
                    tensor.CopyFrom(arrays[dequantize.input[index]])
                    tensor.name = own.input[index] = f"{layer.output[0]}.{called}"
                    self._graph.initializer.append(tensor)
                self._graph.node.insert(list(self._graph.node).index(layer), own)
                layer.input[1] = own.output[0]
            taken.add(dequantize.input[0])

    def _take_out_if_idle(self, dequantize: onnx.NodeProto) -> None:
        quantize = self._giver(dequantize.input[0])
        giver = (
            self._giver(quantize.input[0]) if quantize is not None and quantize.op_type == "QuantizeLinear" else None
        )
        if giver is None:
            return
        readers = {node.op_type for node in self._readers(dequantize.output[0])}
        towards_addition = giver.op_type == NAME and readers == {"Add"}
        if towards_addition or not readers & _READERS:
            self._take_out(giver, quantize, dequantize)

    def _take_out(self, giver: onnx.NodeProto, quantize: onnx.NodeProto, dequantize: onnx.NodeProto) -> None:
        before, behind = quantize.input[0], dequantize.output[0]
        if behind in self._outputs:
            # an output keeps its name
            giver.output[list(giver.output).index(before)] = behind
            before, behind = behind, before
        for node in self._readers(behind):
            for index, name in enumerate(node.input):
                if name == behind:
                    node.input[index] = before
        self._graph.node.remove(dequantize)
        if not self._readers(quantize.output[0]):
            self._graph.node.remove(quantize)


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
