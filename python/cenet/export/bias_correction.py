"""Biases that make up for what rounded weights change on average.

After Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019, section 4.2.
"""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import onnx
from onnx import numpy_helper

from cenet.export.pairs import dequantized


def correct_biases(
    quantized: onnx.ModelProto, before: onnx.ModelProto, channel_means: Callable[[str], np.ndarray]
) -> None:
    """Shifts the biases of `quantized` by the mean of what its weights' rounding takes from each output channel.

    `channel_means` gives the means of a tensor of `before`, the same network in floats, along its channels. Where
    layers share a bias, it is shifted by the mean of their shifts. Padding counts as if it had the mean, too.
    """
    float_layers = {node.name: node for node in before.graph.node if _has_bias(node)}
    weights = {tensor.name: tensor for tensor in before.graph.initializer}
    arrays = {tensor.name: tensor for tensor in quantized.graph.initializer}
    givers = {name: node for node in quantized.graph.node for name in node.output}
    shifts = defaultdict(list)
    for layer in quantized.graph.node:
        as_float = float_layers.get(layer.name)
        dequantize = [givers.get(name) for name in layer.input[1:3]]
        if as_float is None or any(node is None or node.op_type != "DequantizeLinear" for node in dequantize):
            continue
        weight, bias = dequantize
        exact = numpy_helper.to_array(weights[as_float.input[1]]).astype(np.float64)
        shift = _mean_output(as_float, exact - dequantized(weight, arrays), channel_means(as_float.input[0]))
        shifts[bias.input[0]].append(np.rint(shift / numpy_helper.to_array(arrays[bias.input[1]])))
    for name, found in shifts.items():
        shifted = numpy_helper.to_array(arrays[name]) + np.mean(found, axis=0)
        arrays[name].CopyFrom(numpy_helper.from_array(np.rint(shifted).astype(np.int32), name))


def _has_bias(node: onnx.NodeProto) -> bool:
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return len(node.input) == 3 and (node.op_type == "Conv" or (node.op_type == "Gemm" and transposed))


def _mean_output(layer: onnx.NodeProto, weight: np.ndarray, means: np.ndarray) -> np.ndarray:
    """What `layer` gives with `weight` [outputs, inputs of a group, ...] and no bias where its inputs have `means`."""
    groups = next((attribute.i for attribute in layer.attribute if attribute.name == "group"), 1)
    sums = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1).sum(axis=3)
    return np.einsum("goi,gi->go", sums, means.reshape(groups, -1)).ravel()
