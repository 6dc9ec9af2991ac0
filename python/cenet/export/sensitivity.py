"""What each layer loses by being computed in 8 bits."""

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from tqdm import tqdm

from cenet.export.check import quiet_options
from cenet.export.graph import INPUT


def layers_by_loss(quantized: onnx.ModelProto, before: onnx.ModelProto, inputs: list[np.ndarray]) -> list[str]:
    """Names of the layers of `before` that `quantized` has in 8 bits.

    First comes the one that changes the outputs for `inputs` the most when it alone has its weights, bias and input in
    8 bits.
    """
    expected = _outputs(before, inputs)
    layers = _Layers(quantized)
    names = [node.name for node in before.graph.node if node.name in layers]
    losses = {
        name: sum(
            float(np.square(found - wanted).sum() / np.square(wanted).sum())
            for found, wanted in zip(_outputs(layers.alone(name, before), inputs), expected, strict=True)
        )
        for name in tqdm(names, "find what 8 bits cost", disable=None, unit="layer")
    }
    return sorted(names, key=lambda name: -losses[name])


class _Layers:
    """The layers of a quantised network whose input and weights come in 8 bits."""

    def __init__(self, quantized: onnx.ModelProto) -> None:
        self._arrays = {tensor.name: tensor for tensor in quantized.graph.initializer}
        givers = {name: node for node in quantized.graph.node for name in node.output}
        self._givers = {}
        for node in quantized.graph.node:
            found = [givers.get(name) for name in node.input]
            weighs = len(found) > 1 and all(giver and giver.op_type == "DequantizeLinear" for giver in found)
            if weighs and found[1].input[0] in self._arrays:
                self._givers[node.name] = found

    def __contains__(self, name: str) -> bool:
        return name in self._givers

    def alone(self, name: str, before: onnx.ModelProto) -> onnx.ModelProto:
        """`before` with the layer called `name` as it is here."""
        model = onnx.ModelProto()
        model.CopyFrom(before)
        place, layer = next(found for found in enumerate(model.graph.node) if found[1].name == name)
        first, *weights = self._givers[name]
        # weights may be other layers', too
        for index, dequantize in enumerate(weights, start=1):
            layer.input[index] = f"{name}.rounded.{index}"
            model.graph.initializer.append(numpy_helper.from_array(self._dequantized(dequantize), layer.input[index]))
        linear = [f"{name}.scale", f"{name}.zero_point"]
        for given, called in zip(first.input[1:], linear, strict=True):
            model.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(self._arrays[given]), called))
        pair = [
            onnx.helper.make_node("QuantizeLinear", [layer.input[0], *linear], [f"{name}.quantized"]),
            onnx.helper.make_node("DequantizeLinear", [f"{name}.quantized", *linear], [f"{name}.dequantized"]),
        ]
        layer.input[0] = f"{name}.dequantized"
        for node in reversed(pair):
            model.graph.node.insert(place, node)
        return model

    def _dequantized(self, dequantize: onnx.NodeProto) -> np.ndarray:
        values, scale = (numpy_helper.to_array(self._arrays[name]) for name in dequantize.input[:2])
        axis = next((attribute.i for attribute in dequantize.attribute if attribute.name == "axis"), 1)
        shape = [-1 if index == axis else 1 for index in range(values.ndim)]
        return (values * (scale.reshape(shape) if scale.ndim else scale)).astype(np.float32)


def _outputs(model: onnx.ModelProto, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """All outputs for all of `inputs`, computed as the graph says, without integer kernels, which may saturate."""
    options = quiet_options()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = [session.run(None, {INPUT: one}) for one in inputs]
    return [np.concatenate([outputs[index].ravel() for outputs in given]) for index in range(len(given[0]))]
