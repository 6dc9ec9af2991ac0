from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_small

from cenet import CEBlock, build_network
from cenet.checkpoint import UntrainedBlockError
from cenet.export.errors import ExportError
from cenet.export.graph import block_nodes, to_onnx
from cenet.export.operator import DOMAIN, NAME
from cenet.tools.tiny_model import tiny_network


def trained(network: nn.Module, size: tuple[int, int]) -> nn.Module:
    """`network` with running statistics of two random batches."""
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(2):
            network.train()(torch.randn(4, 3, *size))
    return network.eval()


def assert_same_outputs(model: onnx.ModelProto, network: nn.Module, size: tuple[int, int]) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for batch in (1, 3):
        x = torch.randn(batch, 3, *size)
        with torch.inference_mode():
            expected = network(x).numpy()
        found = session.run(["logits"], {"input": x.numpy()})[0]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


class Nested(nn.Module):
    """CE blocks at several depths, one of them used twice, and one unlike the others."""

    def __init__(self) -> None:
        super().__init__()
        shared = CEBlock(8, group_width=8)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.Sequential(nn.BatchNorm2d(8), nn.Sequential(shared, nn.ReLU())),
            nn.ModuleDict({"ce": CEBlock(8, group_width=4, reduction=2)})["ce"],
            shared,
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


@pytest.fixture(scope="module")
def tiny() -> tuple[nn.Module, onnx.ModelProto]:
    network = tiny_network()
    return network, to_onnx(network, torch.randn(1, 3, 64, 64))


def test_graph_is_convolutions_and_one_node_per_block(tiny):
    network, model = tiny
    kinds = Counter(node.op_type for node in model.graph.node)
    blocks = {name for name, module in network.named_modules() if isinstance(module, CEBlock)}
    assert {node.name for node in block_nodes(model)} == blocks
    assert kinds[NAME] == len(blocks) == 4
    assert kinds["Conv"] == 17
    assert kinds["Add"] == 4
    assert kinds["Relu"] == 13
    assert "BatchNormalization" not in kinds
    assert set(kinds) <= {NAME, "Conv", "Add", "Relu", "MaxPool", "ReduceMean", "Reshape", "Gemm"}


def test_each_block_node_reads_a_convolution_and_feeds_add_or_relu(tiny):
    _, model = tiny
    producers = {output: node for node in model.graph.node for output in node.output}
    for node in block_nodes(model):
        assert producers[node.input[0]].op_type == "Conv"
        consumers = [user.op_type for user in model.graph.node if node.output[0] in user.input]
        assert consumers in (["Add"], ["Relu"])


def test_domains_functions_and_weights(tiny):
    _, model = tiny
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18, DOMAIN: 1}
    assert [(function.domain, function.name) for function in model.functions] == [(DOMAIN, NAME)]
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert weights["layer3.0.ce.whitening"] == (4, 16, 16)
    assert weights["layer3.0.ce.fc1"] == (16, 64)
    attributes = {attribute.name for attribute in block_nodes(model)[0].attribute}
    assert attributes == {"gate_scale", "epsilon"}


def test_nothing_tells_where_it_was_exported(tiny):
    _, model = tiny
    content = model.SerializeToString()
    for trace in (b".py", b"site-packages", b"torch.onnx", b"stack_trace", str(onnx.__path__[0]).encode()):
        assert trace not in content


def test_open_batch_size(tiny):
    network, model = tiny
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert_same_outputs(model, network, (64, 64))


@pytest.mark.parametrize("opset", [18, 21, 23])
def test_nested_module_and_odd_size(opset):
    network = trained(Nested(), (9, 12))
    model = to_onnx(network, torch.randn(1, 3, 9, 12), opset)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == opset
    assert len(block_nodes(model)) == 3
    assert len({node.name for node in block_nodes(model)}) == 3
    assert_same_outputs(model, network, (9, 12))


def test_a_block_alone_is_exported():
    network = trained(nn.Sequential(nn.BatchNorm2d(3), CEBlock(3, 3, reduction=1)), (5, 4))[1]
    model = to_onnx(network, torch.randn(1, 3, 5, 4))
    assert len(block_nodes(model)) == 1
    assert_same_outputs(model, network, (5, 4))


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 2)),
        mobilenet_v3_small(num_classes=4),
    ],
    ids=["plain", "mobilenet_v3_small"],
)
def test_module_without_blocks_is_exported(network):
    model = to_onnx(network.eval(), torch.randn(1, 3, 32, 32))
    assert not model.functions
    assert [entry.domain for entry in model.opset_import] == [""]
    assert_same_outputs(model, network, (32, 32))


def test_untrained_module_is_refused():
    with pytest.raises(UntrainedBlockError, match=r"layer1\.0\.ce"):
        to_onnx(build_network("ce_resnet_small"), torch.randn(1, 3, 32, 32))


class FixedBatch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.zeros(2, 3, 4, 4)


def test_fixed_batch_size_is_refused():
    with pytest.raises(ExportError, match="fixed batch size"):
        to_onnx(FixedBatch(), torch.randn(2, 3, 4, 4))


def test_unknown_opset_is_refused():
    with pytest.raises(ExportError, match="opset 17"):
        to_onnx(nn.Identity(), torch.randn(1, 3, 4, 4), opset=17)
