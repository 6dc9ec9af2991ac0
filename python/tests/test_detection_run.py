"""Training, resuming, measuring and exporting a detector, on a few drawn pictures."""

import csv
import dataclasses
import json
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from detection_pictures import draw_voc

from cenet.cli import evaluate
from cenet.cli import train as train_cli
from cenet.detection.augment import BoxAugmentation
from cenet.detection.decode import DecodeOptions, decode
from cenet.detection.network import STRIDES, LevelOutput, build_detector
from cenet.detection.recipe import DetectionRecipe
from cenet.detection.run import DetectionRun, load_start
from cenet.errors import DataError
from cenet.export import ExportError, FcosHead, GoldenSource, Preprocess, cli, export_model
from cenet.export.restore import restore_classifier
from cenet.networks import build_network
from cenet.training.start import take_other_inputs

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "ce_efficientnet_lite0" / "1"

TINY = DetectionRecipe(
    size=(64, 96),
    channels=16,
    depth=1,
    train_part="train",
    epochs=3,
    batch_size=4,
    precision="float32",
    augmentation=BoxAugmentation((0.9, 1.1), 0.05, 0.5, 0.0, 0.1),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("voc")
    draw_voc(root, {"train": 13, "test": 4})
    return root


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory) -> DetectionRun:
    """An uninterrupted run."""
    run = start(folder, tmp_path_factory.mktemp("whole"))
    run.train()
    return run


def start(folder: Path, output: Path, **changes) -> DetectionRun:
    return DetectionRun(folder, output, dataclasses.replace(TINY, **changes), norm="ce", seed=0)


def test_a_run_learns_and_leaves_its_files(trained):
    losses = [record.train_loss for record in trained.records]
    assert losses[-1] < losses[0]
    with (trained.output / "curves.csv").open() as stream:
        assert [int(row["epoch"]) for row in csv.DictReader(stream)] == [1, 2, 3]
    result = json.loads((trained.output / "result.json").read_text())
    assert result["pictures"] == {"train": 12, "validation": 1, "test": 4}
    assert set(result["test_by_label"]) == {"disc", "square"} and 0 <= result["test_map50"] <= 1
    assert len((trained.output / "split.tsv").read_text().splitlines()) == 17
    assert (trained.output / "best.pt").exists() and (trained.output / "curves.png").stat().st_size > 5000


def test_a_resumed_run_equals_an_uninterrupted_one(trained, folder, tmp_path):
    start(folder, tmp_path).train(stop_after=1)
    assert not (tmp_path / "result.json").exists()
    resumed = start(folder, tmp_path)
    resumed.resume()
    assert len(resumed.records) == 1
    resumed.train()
    expected = trained.network.state_dict()
    for name, value in resumed.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=f"{name} differs")
    with pytest.raises(ValueError, match="another run"):
        start(folder, tmp_path, learning_rate=0.01).resume()


def test_a_run_starts_from_a_classifier(folder, tmp_path):
    classifier = build_network("ce_resnet_small", num_classes=7)
    torch.save(classifier.state_dict(), tmp_path / "classifier.pt")
    run = DetectionRun(folder, tmp_path / "run", TINY, "ce", 0, start_from=tmp_path / "classifier.pt")
    weights = run.network.backbone.state_dict()
    assert "fc.weight" not in weights
    torch.testing.assert_close(weights["layer4.1.conv2.weight"], classifier.layer4[1].conv2.weight)
    assert len(run.identity()["start_sha256"]) == 64
    plain = build_detector("ce_resnet_small", num_classes=2, norm="bn")
    load_start(plain, tmp_path / "classifier.pt", "ce_resnet_small", list)
    torch.testing.assert_close(plain.backbone.conv1.weight, classifier.conv1.weight)
    with pytest.raises(ValueError, match="doesn't fit"):
        load_start(build_detector("ce_resnet18", num_classes=2), tmp_path / "classifier.pt", "ce_resnet18", list)


def test_a_run_starts_from_the_shipped_classifier(folder, tmp_path):
    recipe = dataclasses.replace(TINY, backbone="ce_efficientnet_lite0")
    run = DetectionRun(folder, tmp_path, recipe, "ce", 0, start_from=SHIPPED)
    backbone, classifier = run.network.backbone.eval(), restore_classifier(SHIPPED, recipe.backbone)
    take_other_inputs(classifier, tomllib.loads((SHIPPED / "model.toml").read_text())["preprocess"])
    pixels = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        for found, expected in zip(backbone.pyramid(pixels), classifier.pyramid(pixels), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    assert backbone.blocks[9].conv[-1].running_var.std() > 0, "statistics are those of the new pictures"
    assert [output.class_logits.shape[-1] for output in run.network(pixels)] == [12, 6, 3]
    with pytest.raises(ValueError):
        DetectionRun(folder, tmp_path, TINY, "ce", 0, start_from=SHIPPED)


def test_a_run_goes_on_from_a_detector_at_another_size(trained, folder, tmp_path):
    file = trained.output / "last.pt"
    run = DetectionRun(folder, tmp_path, dataclasses.replace(TINY, size=(96, 128)), "ce", 1, start_from=file)
    for name, value in trained.network.state_dict().items():
        torch.testing.assert_close(run.network.state_dict()[name], value, rtol=0, atol=0)
    assert run.records == [] and run.split.train == trained.split.train
    with pytest.raises(ValueError, match="doesn't fit"):
        DetectionRun(folder, tmp_path, dataclasses.replace(TINY, channels=32), "ce", 1, start_from=file)


def test_impossible_runs_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="multiples of 32"):
        start(folder, tmp_path, size=(60, 96))
    with pytest.raises(DataError, match="part nothing"):
        start(folder, tmp_path, train_part="nothing")


def test_command_lines_train_measure_and_export(folder, tmp_path, capsys):
    arguments = ["detect", "--data", str(folder), "--output", str(tmp_path / "run"), "--train-part", "train"]
    arguments += ["--norm", "bn", "--epochs", "1", "--size", "64", "96", "--batch-size", "4"]
    assert train_cli.main(arguments) == 0
    assert train_cli.main(arguments) == 2 and "--resume" in capsys.readouterr().err
    checkpoint = ["--checkpoint", str(tmp_path / "run" / "last.pt")]
    numbers = tmp_path / "numbers.json"
    assert evaluate.main(["detect", *checkpoint, "--data", str(folder), "--json", str(numbers)]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert json.loads(numbers.read_text())["map50"] == pytest.approx(result["test_map50"], nan_ok=True)
    assert evaluate.main(["detect", *checkpoint, "--data", str(folder), "--part", "none"]) == 1
    assert cli.main([*checkpoint, "--output", str(tmp_path / "model"), "--size", "32"]) == 1
    assert "trained with" in capsys.readouterr().err
    image = folder / "JPEGImages" / "test_0.jpg"
    assert cli.main([*checkpoint, "--output", str(tmp_path / "model"), "--golden-image", str(image)]) == 0
    exported = ["--exported", str(tmp_path / "model"), "--data", str(folder), "--json", str(tmp_path / "again.json")]
    assert evaluate.main(["detect", *exported]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["map50_95"] == pytest.approx(json.loads(numbers.read_text())["map50_95"], abs=1e-3, nan_ok=True)
    manifest = tomllib.loads((tmp_path / "model" / "model.toml").read_text())
    assert manifest["task"] == "detect" and manifest["golden"]["image"] == "golden.jpg"
    assert manifest["preprocess"]["resize"] == {"mode": "letterbox", "align": "center", "fill": [114, 114, 114]}


def test_an_exported_detector_finds_what_pytorch_finds(trained, folder, tmp_path):
    preprocess = Preprocess.from_checkpoint(trained.describe()["preprocessing"])
    image = folder / "JPEGImages" / "test_1.jpg"
    report = export_model(
        trained.network,
        tmp_path / "1",
        labels=trained.split.labels,
        preprocess=preprocess,
        golden=GoldenSource(image=image),
        head=FcosHead(),
    )
    assert report.ce_nodes == 6 and [difference.batch for difference in report.differences] == [1, 2]
    head = tomllib.loads((tmp_path / "1" / "model.toml").read_text())["head"]
    assert (head["kind"], [level["stride"] for level in head["levels"]]) == ("fcos", list(STRIDES))
    session = onnxruntime.InferenceSession(tmp_path / "1" / "model.onnx")
    names = [level[part] for level in head["levels"] for part in ("class", "box", "centerness")]
    assert [output.name for output in session.get_outputs()] == names
    with np.load(tmp_path / "1" / "golden.npz") as golden:
        assert set(golden) == {"input", *names}
        found = session.run(names, {"input": golden["input"]})
        for name, array in zip(names, found, strict=True):
            np.testing.assert_allclose(array, golden[name], atol=1e-4 * np.abs(golden[name]).max())
        pixels = torch.from_numpy(golden["input"])
    tensors = [torch.from_numpy(array) for array in found]
    levels = [LevelOutput(*tensors[start : start + 3]) for start in range(0, len(tensors), 3)]
    with torch.inference_mode():
        expected = decode(trained.network.eval()(pixels), DecodeOptions(threshold=0.01))[0]
    actual = decode(levels, DecodeOptions(threshold=0.01))[0]
    assert len(actual.scores) > 0
    torch.testing.assert_close(actual.scores, expected.scores, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(actual.boxes, expected.boxes, atol=0.05, rtol=1e-3)


def test_a_classifier_is_no_fcos_head(tmp_path):
    network = build_network("ce_resnet_small", norm="bn", num_classes=4)
    with pytest.raises(ExportError, match="must return 9 tensors"):
        export_model(network, tmp_path / "1", preprocess=Preprocess((64, 96), None), head=FcosHead())
