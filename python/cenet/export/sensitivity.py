"""What each layer loses by being computed in 8 bits."""

import numpy as np
import onnx
from onnx import numpy_helper
from tqdm import tqdm

from cenet.export.graph import INPUT
from cenet.export.pairs import dequantized, insert_pair
from cenet.export.session import open_session


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
            float(np.square(found - wanted).sum() / max(np.square(wanted).sum(), np.finfo(np.float32).tiny))
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
        layer = next(node for node in model.graph.node if node.name == name)
        first, *weights = self._givers[name]
        # weights may be other layers', too
        for index, dequantize in enumerate(weights, start=1):
            layer.input[index] = f"{name}.rounded.{index}"
            rounded = dequantized(dequantize, self._arrays).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(rounded, layer.input[index]))
        linear = [f"{name}.scale", f"{name}.zero_point"]
        for given, called in zip(first.input[1:], linear, strict=True):
            model.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(self._arrays[given]), called))
        layer.input[0] = insert_pair(model.graph, layer, layer.input[0], linear)
        return model


def _outputs(model: onnx.ModelProto, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """All outputs for all of `inputs`, computed as the graph says, without integer kernels, which may saturate."""
    session = open_session(model, as_written=True)
    given = [session.run(None, {INPUT: one}) for one in inputs]
    return [np.concatenate([outputs[index].ravel() for outputs in given]) for index in range(len(given[0]))]
