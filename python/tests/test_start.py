"""Training that starts from a checkpoint or from an exported model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_export_graph import trained
from torch import nn

from cenet.block import CEBlock
from cenet.cli.train import main
from cenet.export import Preprocess, export_model
from cenet.export.restore import restore_classifier
from cenet.networks import build_network
from cenet.training.images import normalise
from cenet.training.start import load_start, measure_statistics, take_other_inputs

ARCH = "ce_efficientnet_lite0"
SHIPPED = Path(__file__).resolve().parents[2] / "models" / "ce_efficientnet_lite0" / "1"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """With statistics of a few batches, whose CE blocks weigh whitening by 0.3."""
    torch.manual_seed(0)
    network = build_network(ARCH, num_classes=4)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, CEBlock):
                module.x_weight.fill_(torch.logit(torch.tensor(0.3)))
                module.momentum = 1.0
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
                module.bias.normal_(0, 0.2)
    trained(network, (64, 64))
    return network.eval()


@pytest.fixture
def exported(network, tmp_path) -> Path:
    directory = tmp_path / "lite" / "1"
    export_model(network, directory, preprocess=Preprocess((64, 64), 72, mean=(0.5,) * 3, std=(0.5,) * 3))
    return directory


def test_a_shipped_classifier_gives_its_golden_logits():
    network = restore_classifier(SHIPPED, ARCH)
    with np.load(SHIPPED / "golden.npz") as golden, torch.inference_mode():
        logits = network(torch.from_numpy(golden["input"])).numpy()
        np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-4 * np.abs(golden["logits"]).max())


def test_statistics_are_measured_and_the_function_stays(network, exported):
    restored = restore_classifier(exported, ARCH)
    torch.manual_seed(1)
    pixels = torch.randn(8, 3, 64, 64)
    with torch.no_grad():
        expected = network(pixels)
        measure_statistics(restored, [pixels])
        torch.testing.assert_close(restored(pixels), expected, rtol=1e-3, atol=1e-4)
    seen: list[torch.Tensor] = []
    norm = restored.blocks[3].conv[1][1]
    norm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        restored(pixels)
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norm.running_var, seen[0].var((0, 2, 3), correction=0), rtol=1e-3, atol=1e-4)


def test_the_first_layer_takes_pictures_normalised_for_training():
    torch.manual_seed(2)
    first = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)).eval()
    pixels = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        expected = first((pixels - 0.4) / 0.6)
        take_other_inputs(first, {"mean": [0.4] * 3, "std": [0.6] * 3})
        torch.testing.assert_close(first(normalise(pixels * 255)), expected)


def test_a_start_with_other_labels_keeps_its_own_classifier(network, exported, tmp_path):
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    for source in (exported, tmp_path / "weights.pt"):
        other = build_network(ARCH, num_classes=7)
        own = other.classifier[1].weight.clone()
        load_start(other, source, ARCH, [torch.randn(4, 3, 64, 64)])
        torch.testing.assert_close(other.classifier[1].weight, own)
        torch.testing.assert_close(other.blocks[5].ce.AR.fc[0].weight, network.blocks[5].ce.AR.fc[0].weight)
    with pytest.raises(ValueError, match="keys differ"):
        load_start(build_network("ce_mobilenet_v2"), tmp_path / "weights.pt", "ce_mobilenet_v2", [])


def test_command_line(exported, tmp_path, capsys, folder):
    arguments = ["classify", "--data", str(folder), "--output", str(tmp_path / "run"), "--arch", ARCH]
    arguments += ["--init", str(exported), "--epochs", "1", "--image-size", "64", "--batch-size", "8"]
    assert main(arguments) == 0
    assert main([*arguments, "--resume"]) == 0
    del arguments[arguments.index("--init") : arguments.index("--init") + 2]
    assert main([*arguments, "--resume"]) == 1 and "another run" in capsys.readouterr().err
