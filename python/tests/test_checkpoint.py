from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from cenet import CEBlock
from cenet.checkpoint import (
    CheckpointFormatError,
    StateMismatchError,
    UntrainedBlockError,
    check_trained,
    load_state,
    read_checkpoint,
)
from cenet.networks import ce_resnet


def small_network() -> nn.Sequential:
    """One trained CE block of 8 channels behind a convolution."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), CEBlock(8, group_width=4))
    network(torch.randn(2, 3, 6, 6))
    return network.eval()


def test_authors_checkpoint_gives_the_authors_logits(official_format):
    checkpoint = read_checkpoint(official_format / "checkpoint.pth")
    assert checkpoint.arch == "ce_resnet50"
    network = ce_resnet("bottleneck", (1, 1, 1, 1)).eval()
    load_state(network, checkpoint.state)
    with np.load(official_format / "golden.npz") as golden, torch.inference_mode():
        logits = network(torch.from_numpy(golden["input"]))
        np.testing.assert_allclose(logits, golden["logits"], atol=1e-5)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "state_dict": state}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_wrapping_of_a_state_loads(tmp_path, zipped, wrap, prefix):
    network, target = small_network(), small_network()
    nn.init.zeros_(target[0].weight)
    state = OrderedDict((prefix + key, value) for key, value in network.state_dict().items())
    torch.save(wrap(state), tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    load_state(target, read_checkpoint(tmp_path / "file.pth").state)
    for key, value in network.state_dict().items():
        assert torch.equal(target.state_dict()[key], value), key


def test_training_checkpoint_says_what_export_needs(tmp_path):
    preprocessing = {"resize": 128, "crop": 112, "mean": [0.5] * 3, "std": [0.25] * 3}
    content = {"model": "ce_resnet_small", "model_options": {"num_classes": 2}, "labels": ["a", "b"]}
    torch.save(content | {"state_dict": {"w": torch.ones(1)}, "preprocessing": preprocessing}, tmp_path / "last.pt")
    checkpoint = read_checkpoint(tmp_path / "last.pt")
    assert (checkpoint.arch, checkpoint.arch_options) == ("ce_resnet_small", {"num_classes": 2})
    assert (checkpoint.labels, checkpoint.preprocessing) == (["a", "b"], preprocessing)


def test_one_error_names_every_key_and_leaves_the_network_alone():
    network = small_network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = {key: value + 1 for key, value in before.items()}
    del state["2.x_weight"], state["1.bias"]
    state["2.running_wm"] = torch.zeros(4, 2, 2)
    state["0.weight"] = torch.zeros(8, 3, 5, 5)
    state["fc.weight"] = torch.zeros(1)
    with pytest.raises(StateMismatchError) as caught:
        load_state(network, state)
    error = caught.value
    assert set(error.missing) == {"2.x_weight", "1.bias"}
    assert error.unexpected == ["fc.weight"]
    assert error.misshapen == {"0.weight": ((8, 3, 5, 5), (8, 3, 3, 3)), "2.running_wm": ((4, 2, 2), (2, 4, 4))}
    for part in ("2.x_weight", "1.bias", "fc.weight", "[4, 2, 2]", "[2, 4, 4]", "5 keys"):
        assert part in str(error)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_untrained_block_is_named(scale):
    network = nn.Sequential(OrderedDict(stem=small_network(), ce1=CEBlock(16)))
    network.ce1.AR.running_scale.fill_(scale)
    with pytest.raises(UntrainedBlockError, match="ce1") as caught:
        check_trained(network)
    assert caught.value.blocks == ("ce1",)


def test_loading_an_untrained_checkpoint_is_refused():
    network = small_network()
    state = network.state_dict() | {"2.AR.running_scale": torch.zeros(1)}
    with pytest.raises(UntrainedBlockError, match="run training first"):
        load_state(network, state)


def test_expanded_buffers_are_loaded_on_both_sides():
    network = small_network()
    state = network.state_dict() | {"2.running_wm": (2 * torch.eye(4)).expand(2, 4, 4)}
    network[2].running_wm = torch.eye(4).expand(2, 4, 4)
    load_state(network, state)
    assert torch.equal(network[2].running_wm, state["2.running_wm"])
    assert network[2].running_wm.is_contiguous()


class Opaque:
    """Needs code to be unpickled."""


def test_code_in_a_checkpoint_is_refused(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(1)}, "args": Opaque()}, tmp_path / "unsafe.pth")
    with pytest.raises(CheckpointFormatError, match="refused"):
        read_checkpoint(tmp_path / "unsafe.pth")


@pytest.mark.parametrize("content", [[torch.ones(1)], {}, {"state_dict": {}}, {"epoch": 3}, torch.ones(2)])
def test_what_holds_no_state_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(CheckpointFormatError):
        read_checkpoint(tmp_path / "file.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_truncated_file_is_refused(tmp_path, zipped, kept):
    file = tmp_path / "file.pth"
    torch.save(small_network().state_dict(), file, _use_new_zipfile_serialization=zipped)
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointFormatError):
        read_checkpoint(file)


def test_absent_file_is_an_error_of_its_own(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "none.pth")
