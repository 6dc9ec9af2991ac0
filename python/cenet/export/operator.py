"""The operator `ai.cenet::ChannelEquilibrium`: its inputs, folded from a trained CE block, and its body in ONNX.

input      X                 [N, C, H, W]  float32, H * W > 1
input      whitening         [G, d, d]     sigmoid(x_weight) * running_wm; C = G * d, groups are contiguous
input      fc1               [C/r, C]
input      ln_scale, ln_bias [C/r]
input      fc2               [C, C/r]
attribute  gate_scale        float         (1 - sigmoid(x_weight)) / running_scale
attribute  epsilon           float         of the layer normalisation
output     Y                 [N, C, H, W]

variance[n, c] = unbiased variance of X[n, c] over its pixels
gate[n]        = sigmoid(fc2 @ relu(layer_normalisation(fc1 @ variance[n])))
Y[n, g]        = whitening[g] @ X[n, g] + gate_scale * gate[n, g] * X[n, g]
"""

import copy

import onnx
import torch
from onnx.parser import parse_function
from torch import Tensor, nn

from cenet.block import CEBlock
from cenet.checkpoint import check_trained

DOMAIN = "ai.cenet"
NAME = "ChannelEquilibrium"
VERSION = 1

# Works for any N, C, H, W, G and d: all of them are read from shapes when it runs. Both terms of Y are put into one
# d x d matrix for each sample and group, so that Y takes a single pass over the pixels.
_BODY = """
<domain: "ai.cenet", opset_import: ["": {opset}]>
ChannelEquilibrium <gate_scale, epsilon> (X, whitening, fc1, ln_scale, ln_bias, fc2) => (Y)
{{
    one = Constant <value_ints = [1]> ()
    pixel_axes = Constant <value_ints = [2, 3]> ()
    x_shape = Shape (X)

    mean = ReduceMean <keepdims = 1> (X, pixel_axes)
    centred = Sub (X, mean)
    squares = Mul (centred, centred)
    square_sum = ReduceSum <keepdims = 0> (squares, pixel_axes)
    area_shape = Shape <start = 2> (X)
    area = ReduceProd <keepdims = 1> (area_shape)
    freedom_count = Sub (area, one)
    freedom = Cast <to = 1> (freedom_count)
    variance = Div (square_sum, freedom)

    fc1_transposed = Transpose <perm = [1, 0]> (fc1)
    projected = MatMul (variance, fc1_transposed)
    normalised = LayerNormalization <axis = -1, epsilon: float = @epsilon> (projected, ln_scale, ln_bias)
    hidden = Relu (normalised)
    fc2_transposed = Transpose <perm = [1, 0]> (fc2)
    gate_logits = MatMul (hidden, fc2_transposed)
    gate = Sigmoid (gate_logits)
    scale = Constant <value_float: float = @gate_scale> ()
    scaled_gate = Mul (gate, scale)

    samples = Shape <start = 0, end = 1> (X)
    groups_and_width = Shape <start = 0, end = 2> (whitening)
    square = Shape <start = 1, end = 3> (whitening)
    zeros = ConstantOfShape <value = float[1] {{0.0}}> (square)
    identity = EyeLike (zeros)
    column_shape = Concat <axis = 0> (samples, groups_and_width, one)
    gate_column = Reshape (scaled_gate, column_shape)
    gate_diagonal = Mul (gate_column, identity)
    mixing = Add (whitening, gate_diagonal)

    rest = Constant <value_ints = [-1]> ()
    grouped_shape = Concat <axis = 0> (samples, groups_and_width, rest)
    grouped = Reshape (X, grouped_shape)
    mixed = MatMul (mixing, grouped)
    Y = Reshape (mixed, x_shape)
}}
"""


def function_body(opset: int) -> onnx.FunctionProto:
    """The operator as a model-local function of standard operators of `opset` (18 or later)."""
    return parse_function(_BODY.format(opset=opset))


class FoldedBlock(nn.Module):
    """A trained CE block as the operator's inputs. Its forward is for export alone: it has no values, only a shape."""

    def __init__(self, block: CEBlock) -> None:
        super().__init__()
        first, norm, second = block.AR.fc[0], block.AR.fc[1], block.AR.fc[3]
        with torch.no_grad():
            weight = torch.sigmoid(block.x_weight.double())
            whitening = (weight * block.running_wm.double()).float()
            self.gate_scale = ((1 - weight) / block.AR.running_scale.double()).item()
        self.epsilon = norm.eps
        for name, tensor in (
            ("whitening", whitening),
            ("fc1", first.weight),
            ("ln_scale", norm.weight),
            ("ln_bias", norm.bias),
            ("fc2", second.weight),
        ):
            self.register_buffer(name, tensor.detach().float().clone())

    def forward(self, x: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{NAME}",
            (x, self.whitening, self.fc1, self.ln_scale, self.ln_bias, self.fc2),
            {"gate_scale": self.gate_scale, "epsilon": self.epsilon},
            dtype=x.dtype,
            shape=x.shape,
            version=VERSION,
        )


def fold_blocks(module: nn.Module) -> nn.Module:
    """A copy of `module` in evaluation mode, on the CPU in float32, with every CE block folded.

    Raises:
        UntrainedBlockError: names every CE block without running statistics.
    """
    check_trained(module)
    folded = copy.deepcopy(module).cpu().float().eval()
    if isinstance(folded, CEBlock):
        return FoldedBlock(folded)
    replacements: dict[CEBlock, FoldedBlock] = {}
    for parent in list(folded.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, CEBlock):
                parent._modules[name] = replacements.setdefault(child, FoldedBlock(child))
    return folded
