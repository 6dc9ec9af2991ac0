"""The training run on a small folder of drawn pictures."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision import transforms

from cenet.cli.train import main
from cenet.training.augment import Augmentation, augment, mix_up
from cenet.training.classification import ClassificationRun
from cenet.training.dataset import Picture, split_folder
from cenet.training.images import MEAN, STD, evaluation_pixels, normalise
from cenet.training.loop import score
from cenet.training.recipe import Recipe
from cenet.training.run import batch_indices

TINY = Recipe(epochs=4, batch_size=8, image_size=32, evaluation_resize=36, training_resize=40, warmup_epochs=1)


def start(folder: Path, output: Path, **changes) -> ClassificationRun:
    recipe = dataclasses.replace(TINY, exclude=("ZZ_clutter",), **changes)
    return ClassificationRun(folder, output, recipe, norm="ce", seed=0)


def test_split_is_fixed_disjoint_and_stratified(folder):
    first, second = split_folder(folder, exclude=["ZZ_clutter"]), split_folder(folder, exclude=["ZZ_clutter"])
    assert first == second and first.labels == ["disc", "square"]
    parts = (first.train, first.validation, first.test)
    assert [len(part) for part in parts] == [30, 2, 8]
    assert len({picture.path for part in parts for picture in part}) == 40
    assert all({picture.label for picture in part} == {0, 1} for part in parts)
    assert split_folder(folder, exclude=["ZZ_clutter"], seed=1).test != first.test


def test_split_refuses_small_classes_and_empty_folders(tmp_path):
    with pytest.raises(ValueError, match="no class folders"):
        split_folder(tmp_path)
    (tmp_path / "one").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "one" / "a.png")
    with pytest.raises(ValueError, match="class one has 1 pictures"):
        split_folder(tmp_path)


def test_evaluation_input_is_the_usual_preprocessing(folder):
    file = folder / "disc" / "00.jpg"
    usual = transforms.Compose(
        [transforms.Resize(36), transforms.CenterCrop(32), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    pixels = normalise(evaluation_pixels(Picture(file, 0), 36, 32).unsqueeze(0))
    torch.testing.assert_close(pixels[0], usual(Image.open(file).convert("RGB")), rtol=1e-5, atol=1e-6)


def test_augmentation_without_strength_keeps_colours():
    picture = torch.full((3, 20, 30), 100, dtype=torch.uint8)
    still = Augmentation(jitter=0.0)
    torch.testing.assert_close(augment([picture], 16, still), torch.full((1, 3, 16, 16), 100.0))
    changed = augment([picture] * 4, 16, Augmentation(jitter=0.5)).mean((1, 2, 3))
    assert changed.std() > 1


def test_mix_up_mixes_inputs_and_targets_alike():
    torch.manual_seed(0)
    targets = torch.eye(6)
    inputs, mixed = mix_up(targets.clone(), targets, 1.0)
    torch.testing.assert_close(inputs, mixed)
    torch.testing.assert_close(mixed.sum(1), torch.ones(6))
    assert not torch.equal(mixed, targets)


def test_balanced_accuracy_weighs_classes_alike():
    logits = torch.tensor([[2.0, 0, 0], [2.0, 0, 0], [2.0, 0, 0], [2.0, 0, 0]])
    scores = score(logits, torch.tensor([0, 0, 0, 1]))
    assert (scores.top1, scores.balanced) == (0.75, 0.5)


def test_batches_are_full_and_distinct():
    batches = batch_indices(10, 4)
    assert [len(batch) for batch in batches] == [4, 4] and len({*batches[0], *batches[1]}) == 8
    assert len(batch_indices(3, 4)[0]) == 3


def test_a_resumed_run_equals_an_uninterrupted_one(folder, tmp_path):
    whole = start(folder, tmp_path / "whole")
    whole.train()
    start(folder, tmp_path / "parts").train(stop_after=2)
    assert not (tmp_path / "parts" / "result.json").exists()
    resumed = start(folder, tmp_path / "parts")
    resumed.resume()
    assert len(resumed.records) == 2
    resumed.train()
    expected = whole.network.state_dict()
    for name, value in resumed.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=f"{name} differs")
    losses = [[record.train_loss for record in run.records] for run in (whole, resumed)]
    assert losses[0] == losses[1] and resumed.records[-1].wall_s > resumed.records[1].wall_s


def test_a_run_learns_and_leaves_its_files(folder, tmp_path):
    run = start(folder, tmp_path, epochs=6)
    run.train()
    assert run.records[-1].train_loss < run.records[0].train_loss
    with (tmp_path / "curves.csv").open() as stream:
        assert [int(row["epoch"]) for row in csv.DictReader(stream)] == [1, 2, 3, 4, 5, 6]
    assert Image.open(tmp_path / "curves.png").width > 400
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["pictures"] == {"train": 30, "validation": 2, "test": 8} and 0 <= result["test_top1"] <= 1
    assert len((tmp_path / "split.tsv").read_text().splitlines()) == 40
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert best["labels"] == ["disc", "square"] and best["model_options"] == {"norm": "ce", "num_classes": 2}


def test_resuming_another_run_is_refused(folder, tmp_path):
    start(folder, tmp_path).train(stop_after=1)
    with pytest.raises(ValueError, match="another run"):
        start(folder, tmp_path, learning_rate=0.01).resume()


def test_command_line(folder, tmp_path, capsys):
    arguments = ["classify", "--data", str(folder), "--output", str(tmp_path), "--exclude", "ZZ_clutter"]
    arguments += ["--norm", "bn", "--epochs", "1", "--image-size", "32", "--batch-size", "16", "--precision", "float32"]
    assert main(arguments) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["norm"] == "bn" and result["recipe"]["evaluation_resize"] == 37
    assert main(arguments) == 2 and "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert main(["classify", "--data", str(tmp_path / "none"), "--output", str(tmp_path / "new")]) == 1
    assert "no class folders" in capsys.readouterr().err
