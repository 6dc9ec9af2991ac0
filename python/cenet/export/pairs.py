"""The pairs of QuantizeLinear and DequantizeLinear between a graph's nodes: ONNX's QDQ form."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from cenet.export.operator import NAME

OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool")
"""What has integer kernels."""
MOVES = ("Resize", "Concat", "Reshape", "Flatten", "Squeeze")
"""What hands integers on."""
# For whom a tensor is worth being in integers.
_READERS = {*OPERATORS, *MOVES, "ReduceMean", NAME}


def insert_pair(graph: onnx.GraphProto, reader: onnx.NodeProto, name: str, linear: Sequence[str]) -> str:
    """Puts a pair for the tensor called `name` in front of `reader`; what its result is called.

    `linear` names its scale and its zero point.
    """
    pair = [
        onnx.helper.make_node("QuantizeLinear", [name, *linear], [f"{name}_quantized"]),
        onnx.helper.make_node("DequantizeLinear", [f"{name}_quantized", *linear], [f"{name}_dequantized"]),
    ]
    place = list(graph.node).index(reader)
    for node in reversed(pair):
        graph.node.insert(place, node)
    return f"{name}_dequantized"


def dequantized(node: onnx.NodeProto, arrays: Mapping[str, onnx.TensorProto]) -> np.ndarray:
    """What the DequantizeLinear `node` gives of weights or biases, whose zero points are zero, in float64."""
    values, scale = (numpy_helper.to_array(arrays[name]) for name in node.input[:2])
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    shape = [-1 if index == axis else 1 for index in range(values.ndim)]
    return values * (scale.astype(np.float64).reshape(shape) if scale.ndim else np.float64(scale))


class Pairs:
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
        pool.input[0] = insert_pair(self._graph, pool, name, linear)

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
