"""Names, parameters and placement of the networks, and the authors' checkpoint format."""

import numpy as np
import pytest
import torch
import torchvision

from cenet import build_network, network_names
from cenet.block import CEBlock
from cenet.networks import ce_mobilenet_v2, ce_resnet, ce_resnet18, ce_resnet50

# What a builder can't do without.
REQUIRED_OPTIONS = {"ce_resnet": {"block": "bottleneck", "layers": (1, 1, 1, 1)}}


def count_parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def ce_names(network: torch.nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, CEBlock)]


def test_resnet50_is_the_released_one():
    network = ce_resnet50()
    assert len(network.state_dict()) == 432
    assert count_parameters(network) == 29_331_926
    blocks = [f"layer{layer}.{index}.ce" for layer, depth in ((1, 3), (2, 4), (3, 6)) for index in range(depth)]
    assert ce_names(network) == ["ce1", *blocks]
    assert network.ce1.groups == 1 and network.layer3[0].ce.group_width == 16


@pytest.mark.parametrize(
    ("twin", "original"),
    [
        (lambda: ce_resnet50(norm="bn"), torchvision.models.resnet50),
        (lambda: ce_resnet18(norm="bn"), torchvision.models.resnet18),
        (lambda: ce_mobilenet_v2(norm="bn"), torchvision.models.mobilenet_v2),
    ],
)
def test_plain_twins_compute_what_torchvision_does(twin, original):
    theirs, ours = original().eval(), twin().eval()
    ours.load_state_dict(theirs.state_dict())
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(pixels), theirs(pixels))


def test_authors_checkpoint_gives_the_authors_logits(official_format):
    checkpoint = torch.load(official_format / "checkpoint.pth", map_location="cpu", weights_only=False)
    network = ce_resnet("bottleneck", [1, 1, 1, 1]).eval()
    network.load_state_dict(checkpoint["state_dict"])
    with np.load(official_format / "golden.npz") as golden, torch.no_grad():
        logits = network(torch.from_numpy(golden["input"]))
        torch.testing.assert_close(logits, torch.from_numpy(golden["logits"]), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", sorted(set(network_names()) - {"ce_resnet50", "ce_resnet101"}))
def test_networks_train_and_evaluate(name):
    torch.manual_seed(0)
    network = build_network(name, num_classes=5, **REQUIRED_OPTIONS.get(name, {}))
    pixels = torch.randn(2, 3, 48, 48)
    network(pixels).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    with torch.no_grad():
        logits = network.eval()(pixels)
    assert logits.shape == (2, 5) and logits.isfinite().all()


@pytest.mark.parametrize("name", network_names())
def test_networks_have_ce_blocks_and_their_twins_none(name):
    options = REQUIRED_OPTIONS.get(name, {})
    with torch.device("meta"):
        assert ce_names(build_network(name, **options)) and not ce_names(build_network(name, norm="bn", **options))


def test_placement_can_be_chosen():
    network = ce_resnet("basic", (1, 1, 1, 1), placement=("layer2", "layer4"), width=16)
    assert ce_names(network) == ["layer2.0.ce", "layer4.0.ce"]


@pytest.mark.parametrize(("position", "channels"), [("projection", 24), ("expansion", 96)])
def test_mobilenet_position(position, channels):
    network = ce_mobilenet_v2(position=position)
    assert network.features[2].ce.channels == channels
    assert len(ce_names(network)) == (17 if position == "projection" else 16)


@pytest.mark.parametrize(
    "options", [{"placement": ("layer5",)}, {"stem": "5x5"}, {"norm": "gn"}, {"block": "wide"}, {"layers": (1, 1)}]
)
def test_bad_options_are_refused(options):
    arguments = {"block": "basic", "layers": (1, 1, 1, 1)} | options
    with pytest.raises(ValueError):
        ce_resnet(**arguments)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="ce_resnet50"):
        build_network("resnet_ce")


def test_small_network_ships_in_15_megabytes():
    assert count_parameters(build_network("ce_resnet_small", num_classes=101)) * 4 < 15e6
