"""EfficientNet-Lite0 as an ONNX graph, each batch normalisation folded into the convolution before it."""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# expansion factor, repeats, stride of the first; channels and kernels are the weights' own
_STAGES = ((1, 1, 1), (6, 2, 2), (6, 2, 2), (6, 3, 2), (6, 3, 1), (6, 4, 2), (6, 1, 1))
_EPSILON = 1e-3


class _Graph:
    """A graph that grows at its end; layers take their weights in the order of these, from input to output."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        tensors = [tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")]
        self.weights: Iterator[np.ndarray] = iter(tensors)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(self, x: str, stride: int = 1, relu: bool = True) -> str:
        """Convolution, batch normalisation, ReLU6; padded as TensorFlow's SAME, an odd pixel right and below."""
        weight, gamma, beta, mean, variance = (next(self.weights) for _ in range(5))
        scale = gamma / np.sqrt(variance + _EPSILON)
        name, kernel = f"conv_{len(self.nodes)}", weight.shape[2]
        inputs = [x, self.constant(f"{name}_weight", weight * scale[:, None, None, None])]
        inputs.append(self.constant(f"{name}_bias", beta - mean * scale))
        group = weight.shape[0] if weight.shape[1] == 1 else 1
        # all sizes are multiples of the stride
        missing = max(kernel - stride, 0)
        pads = [missing // 2] * 2 + [missing - missing // 2] * 2
        x = self.node("Conv", *inputs, strides=[stride] * 2, pads=pads, group=group, kernel_shape=[kernel] * 2)
        return self.node("Clip", x, "zero", "six") if relu else x

    def block(self, x: str, stride: int, expands: bool, adds: bool) -> str:
        """Expansion, depthwise, projection."""
        y = self.convolution(x) if expands else x
        y = self.convolution(self.convolution(y, stride), relu=False)
        return self.node("Add", x, y) if adds else y


def efficientnet_lite0(weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """`input`, [N, 3, 224, 224], to `logits`, [N, labels]; of the weights as they are published."""
    graph = _Graph(weights)
    graph.constant("zero", np.array(0.0))
    graph.constant("six", np.array(6.0))
    x = graph.convolution("input", stride=2)
    for expansion, repeats, first in _STAGES:
        for index in range(repeats):
            x = graph.block(x, first if index == 0 else 1, expands=expansion != 1, adds=index > 0)
    x = graph.node("Flatten", graph.node("GlobalAveragePool", graph.convolution(x)))
    weight, bias = graph.constant("weight", next(graph.weights)), graph.constant("bias", next(graph.weights))
    graph.node("Gemm", x, weight, bias, output="logits", transB=1)
    if next(graph.weights, None) is not None:
        raise ValueError("these are no weights of EfficientNet-Lite0")
    return _model(graph, labels=graph.constants[-1].dims[0])


def _model(graph: _Graph, labels: int) -> onnx.ModelProto:
    taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])
    given = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", labels])
    whole = helper.make_graph(graph.nodes, "efficientnet_lite0", [taken], [given], graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model
