"""8-bit networks: weights a scale a channel, activations by what calibration pictures gave, CE blocks in float.

The result is in ONNX's QDQ form: every tensor that an integer kernel reads passes a QuantizeLinear and a
DequantizeLinear, so that the file runs anywhere, and a runtime that knows integer kernels merges the pairs into them.
A CE block's node stays as it is, with a pair in front of it and behind what follows it. Its parameters are not quantised, nor
what leaves it towards a residual addition, nor the network's outputs.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from cenet.export.errors import ExportError
from cenet.export.graph import INPUT, block_nodes
from cenet.export.operator import DOMAIN

# What has integer kernels, or hands integers on.
_OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool")
_MOVES = ("Resize", "Concat", "Reshape", "Flatten", "Squeeze")
# Beside these, what may read a tensor so that integers are worth it.
_READERS = {*_OPERATORS, *_MOVES, "ReduceMean", "ChannelEquilibrium"}


def quantize_model(
    model: onnx.ModelProto, inputs: Iterable[np.ndarray], *, reduce_range: bool = False
) -> onnx.ModelProto:
    """A copy of `model` in 8-bit integers, with the ranges that its tensors had on `inputs`, each [N, 3, H, W].

    `reduce_range` takes 7 bits for weights, for x86 processors whose 8-bit products saturate (AVX2, AVX-512 without VNNI).

    Raises:
        ExportError: if it is quantised already, or has nothing to quantise.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    if any(node.op_type == "QuantizeLinear" for node in folded.graph.node):
        raise ExportError("the model is quantised already")
    _fold_norms(folded.graph)
    if not any(node.op_type in ("Conv", "Gemm", "MatMul") for node in folded.graph.node):
        raise ExportError("the model has no convolution or linear layer to quantise")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        file = Path(folder) / "model.onnx"
        quantize_static(
            folded,
            file,
            _Reader(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*_OPERATORS, *_MOVES],
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(file)
    _keep_floats(quantized.graph)
    _restore(quantized, folded)
    onnx.checker.check_model(quantized)
    return quantized
