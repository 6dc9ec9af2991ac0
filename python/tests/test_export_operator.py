import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from cenet import CEBlock
from cenet.export.operator import DOMAIN, NAME, VERSION, FoldedBlock, function_body

INPUTS = ("X", "whitening", "fc1", "ln_scale", "ln_bias", "fc2")
OPSETS = (18, 20, 23)


def case_block(cases: dict[str, np.ndarray], case: str) -> CEBlock:
    """A CE block with the state of one of the authors' blocks."""
    state = {name: torch.from_numpy(cases[f"{case}_{name}"]) for name in ("x_weight", "running_wm")}
    groups, width, _ = state["running_wm"].shape
    state["running_mean"] = torch.zeros(groups, width, 1)
    for key, name in (
        ("running_scale", "running_scale"),
        ("fc.0.weight", "fc1"),
        ("fc.1.weight", "ln_scale"),
        ("fc.1.bias", "ln_bias"),
        ("fc.3.weight", "fc2"),
    ):
        state[f"AR.{key}"] = torch.from_numpy(cases[f"{case}_{name}"])
    block = CEBlock(groups * width, width)
    block.load_state_dict(state)
    return block.eval()


def values(tensors: dict[str, tuple], kind: int = TensorProto.FLOAT) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, kind, shape) for name, shape in tensors.items()]


def run_operator(block: CEBlock, x: np.ndarray, opset: int) -> np.ndarray:
    """Y, by ONNX Runtime without a kernel for the operator: from the function's body."""
    folded = FoldedBlock(block)
    attributes = {"gate_scale": folded.gate_scale, "epsilon": folded.epsilon}
    node = helper.make_node(NAME, INPUTS, ["Y"], domain=DOMAIN, **attributes)
    tensors = {"X": x} | {name: getattr(folded, name).numpy() for name in INPUTS[1:]}
    open_shapes = {name: (None,) * tensor.ndim for name, tensor in tensors.items()}
    graph = helper.make_graph([node], "operator", values(open_shapes), values({"Y": (None,) * 4}))
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
    model = helper.make_model(graph, opset_imports=imports, functions=[function_body(opset)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(["Y"], tensors)[0]


def run_variance(x: np.ndarray) -> np.ndarray:
    """The tensor `variance` inside the function's body, which outputs alone would hardly show."""
    names = [node.output[0] for node in function_body(18).node]
    nodes = function_body(18).node[: names.index("variance") + 1]
    graph = helper.make_graph(nodes, "variance", values({"X": (None,) * 4}), values({"variance": (None, None)}))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(["variance"], {"X": x})[0]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("case", [f"case{index}" for index in range(7)])
def test_body_gives_the_authors_outputs(block_cases, case, opset):
    expected = block_cases[f"{case}_Y"]
    found = run_operator(case_block(block_cases, case), block_cases[f"{case}_X"], opset)
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("case", [f"case{index}" for index in range(7)])
def test_variance_is_the_authors_unbiased_one(block_cases, case):
    x, expected = block_cases[f"{case}_X"], block_cases[f"{case}_variance"]
    np.testing.assert_allclose(run_variance(x), expected, rtol=1e-5)


def test_variance_survives_a_large_mean():
    x = np.random.default_rng(0).standard_normal((2, 8, 5, 7), dtype=np.float32) + 1000
    np.testing.assert_allclose(run_variance(x), x.var((2, 3), ddof=1, dtype=np.float64), rtol=1e-3)


@pytest.mark.parametrize("width", [8, 16, 32, 64])
@pytest.mark.parametrize("shape", [(1, 1, 2), (3, 7, 5), (2, 31, 1)])
def test_body_agrees_with_the_block(width, shape):
    torch.manual_seed(width)
    block = CEBlock(2 * width, width)
    block(torch.randn(4, 2 * width, 6, 6))
    torch.nn.init.normal_(block.x_weight)
    torch.nn.init.normal_(block.AR.fc[1].bias)
    samples, *area = shape
    x = torch.randn(samples, 2 * width, *area)
    with torch.inference_mode():
        expected = block.eval()(x).numpy()
    np.testing.assert_allclose(run_operator(block, x.numpy(), 18), expected, atol=2e-6 * np.abs(expected).max())
