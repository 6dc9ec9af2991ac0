import os
import tomllib

import numpy as np
import onnxruntime
import pytest
import torch

from cenet.export import cli
from cenet.tools.tiny_model import LABELS, export_tiny_model, tiny_network

TINY_OPTIONS = {"block": "bottleneck", "layers": [1, 1, 1, 1], "num_classes": 3, "width": 4, "stem": "3x3"}


@pytest.fixture(scope="module")
def training_checkpoint(tmp_path_factory):
    file = tmp_path_factory.mktemp("run") / "last.pt"
    content = {
        "epoch": 1,
        "model": "ce_resnet",
        "model_options": TINY_OPTIONS,
        "state_dict": tiny_network().state_dict(),
        "labels": list(LABELS),
        "preprocessing": {"resize": 40, "crop": 32, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]},
    }
    torch.save(content, file)
    return file


def test_authors_checkpoint_reaches_the_authors_logits(official_format, tmp_path, capsys):
    arguments = ["--arch", "ce_resnet", "--arch-option", "block=bottleneck", "--arch-option", "layers=1,1,1,1"]
    arguments += ["--checkpoint", str(official_format / "checkpoint.pth")]
    arguments += ["--golden", str(official_format / "golden.npz"), "--output", str(tmp_path / "1")]
    assert cli.main(arguments) == 0
    assert "4 CE nodes" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(tmp_path / "1" / "model.onnx")
    with np.load(official_format / "golden.npz") as golden:
        logits = session.run(["logits"], {"input": golden["input"]})[0]
        np.testing.assert_allclose(logits, golden["logits"], atol=1e-5)
        with np.load(tmp_path / "1" / "golden.npz") as written:
            np.testing.assert_array_equal(written["logits"], golden["logits"])
    assert len((tmp_path / "1" / "labels.txt").read_text().splitlines()) == 1000


def test_training_checkpoint_needs_nothing_else(training_checkpoint, tmp_path):
    assert cli.main(["--checkpoint", str(training_checkpoint), "--output", str(tmp_path / "1")]) == 0
    preprocess = tomllib.loads((tmp_path / "1" / "model.toml").read_text())["preprocess"]
    assert preprocess["size"] == [32, 32]
    assert preprocess["resize"] == {"mode": "shorter_side", "to": 40}
    assert (preprocess["mean"], preprocess["std"]) == ([0.5, 0.4, 0.3], [0.2, 0.2, 0.2])
    assert (tmp_path / "1" / "labels.txt").read_text().splitlines() == list(LABELS)


def test_options_change_what_the_checkpoint_declares(training_checkpoint, tmp_path):
    (tmp_path / "names.txt").write_text("x\ny\nz\n")
    arguments = ["--checkpoint", str(training_checkpoint), "--output", str(tmp_path / "1"), "--size", "48"]
    arguments += ["--stretch", "--mean", "0", "0", "0", "--labels", str(tmp_path / "names.txt")]
    arguments += ["--activation", "sigmoid", "--license", "MIT", "--filter", "bicubic", "--default"]
    assert cli.main(arguments) == 0
    manifest = tomllib.loads((tmp_path / "1" / "model.toml").read_text())
    assert manifest["preprocess"]["size"] == [48, 48]
    assert manifest["preprocess"]["resize"] == {"mode": "stretch"}
    assert manifest["preprocess"]["mean"] == [0, 0, 0]
    assert manifest["preprocess"]["std"] == [0.2, 0.2, 0.2]
    assert manifest["preprocess"]["filter"] == "bicubic"
    assert manifest["head"]["activation"] == "sigmoid"
    assert manifest["license"] == "MIT" and manifest["default"] is True
    assert (tmp_path / "1" / "labels.txt").read_text() == "x\ny\nz\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "ce_resnet50", "--arch-option", "num_classes=3"], "missing: layer1.1.conv1.weight"),
        (["--arch-option", "depth=3"], "depth"),
        (["--arch-option", "layers=1,1"], "4 stages"),
        (["--labels", "none.txt"], "none.txt"),
        (["--golden", "none.npz"], "none.npz"),
        (["--golden-image", "none.jpg"], "none.jpg"),
        (["--golden-image", "a.jpg", "--golden", "b.npz"], "not from both"),
        (["--size", "64", "--resize-to", "48"], "48"),
    ],
)
def test_errors_are_one_message_and_leave_nothing(
    training_checkpoint, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--checkpoint", str(training_checkpoint), "--output", "1", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("cenet-export: ")
    assert message in error
    assert os.listdir(tmp_path) == []


def test_bare_state_needs_a_network(tmp_path, capsys):
    torch.save(tiny_network().state_dict(), tmp_path / "bare.pth")
    assert cli.main(["--checkpoint", str(tmp_path / "bare.pth"), "--output", str(tmp_path / "1")]) == 1
    assert "--arch" in capsys.readouterr().err


def test_existing_output_is_refused(training_checkpoint, tmp_path, capsys):
    assert cli.main(["--checkpoint", str(training_checkpoint), "--output", str(tmp_path)]) == 1
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [("layers=1,2", (1, 2)), ("placement=stem,", ("stem",)), ("norm=bn", "bn"), ("dropout=0.5", 0.5), ("n=3", 3)],
)
def test_arch_options_are_typed(text, expected):
    assert cli._arch_option(text)[1] == expected


def test_tiny_model_is_small_and_repeatable(tmp_path):
    for name in ("a", "b"):
        export_tiny_model(tmp_path / name)
    assert sum(file.stat().st_size for file in (tmp_path / "a").iterdir()) < 300_000
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
