import os
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from cenet import CEBlock
from cenet.checkpoint import UntrainedBlockError
from cenet.export import CheckError, ExportError, GoldenSource, Preprocess, export_model, model_directory
from cenet.tools.tiny_model import picture

SIZE = (10, 12)
PREPROCESS = Preprocess(size=SIZE, resize_to=14, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
LABELS = ["cat", "grey dog", "élan"]


def classifier() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), CEBlock(8), nn.ReLU())
    with torch.no_grad():
        body(torch.randn(4, 3, *SIZE))
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "picture.PNG"
    picture().save(file)
    return file


def test_directory_holds_all_that_the_manifest_names(tmp_path, image):
    network = classifier()
    output = tmp_path / "models" / "tiny" / "1"
    report = export_model(
        network,
        output,
        labels=LABELS,
        preprocess=PREPROCESS,
        golden=GoldenSource(image=image),
        description='Says "hello"',
        license="MIT",
    )
    assert (report.output, report.ce_nodes, len(report.differences)) == (output, 1, 2)
    assert {difference.batch for difference in report.differences} == {1, 2}
    assert {file.name for file in output.iterdir()} == {
        "model.onnx",
        "model.toml",
        "labels.txt",
        "golden.npz",
        "golden.png",
    }
    manifest = tomllib.loads((output / "model.toml").read_text())
    assert manifest == {
        "schema_version": 1,
        "task": "classify",
        "model": "model.onnx",
        "labels": "labels.txt",
        "description": 'Says "hello"',
        "license": "MIT",
        "preprocess": {
            "input": "input",
            "size": [10, 12],
            "resize": {"mode": "shorter_side", "to": 14},
            "filter": "bilinear",
            "color": "rgb",
            "layout": "nchw",
            "rescale": 1 / 255,
            "mean": [0.4, 0.5, 0.6],
            "std": [0.2, 0.3, 0.4],
            "exif": "apply",
            "alpha": "drop",
        },
        "head": {"kind": "scores", "output": "logits", "activation": "softmax"},
        "golden": {"tensors": "golden.npz", "image": "golden.png", "tolerance": 1e-4},
    }
    assert (output / "labels.txt").read_text(encoding="utf-8").splitlines() == LABELS
    assert (output / "golden.png").read_bytes() == image.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["models", "picture.PNG"]


def test_golden_pair_is_pytorch_on_the_preprocessed_picture(tmp_path, image):
    network = classifier()
    export_model(network, tmp_path / "1", preprocess=PREPROCESS, golden=GoldenSource(image=image))
    reference = transforms.Compose(
        [
            transforms.Resize(14),
            transforms.CenterCrop(SIZE),
            transforms.ToTensor(),
            transforms.Normalize(PREPROCESS.mean, PREPROCESS.std),
        ]
    )
    expected = reference(Image.open(image))[None]
    with np.load(tmp_path / "1" / "golden.npz") as golden, torch.inference_mode():
        assert set(golden) == {"input", "logits"}
        np.testing.assert_allclose(golden["input"], expected, atol=1e-6)
        np.testing.assert_allclose(golden["logits"], network(torch.from_numpy(golden["input"])), atol=1e-6)


def test_module_is_left_as_it_is(tmp_path):
    network = classifier()
    network[0].train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    export_model(network, tmp_path / "1", labels=LABELS, preprocess=PREPROCESS)
    assert network[0][1].training
    assert not network[3].training
    assert isinstance(network[0][2], CEBlock)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("size", [(224, 224), (97, 130)])
@pytest.mark.parametrize("shape", [(300, 451), (613, 257), (256, 256)])
def test_preprocessing_is_torchvisions(tmp_path, size, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    reference = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(size), transforms.ToTensor()])
    found = Preprocess(size, mean=(0, 0, 0), std=(1, 1, 1)).load(tmp_path / "noise.png")
    np.testing.assert_allclose(found[0], reference(Image.fromarray(pixels)), atol=1e-6)


def test_orientation_and_transparency_follow_the_manifest(tmp_path):
    image = Image.new("RGBA", (20, 10), (255, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.paste((0, 255, 0, 255), (0, 0, 10, 10))
    image.save(tmp_path / "turned.png", exif=exif)
    found = Preprocess((20, 10), None, mean=(0, 0, 0), std=(1, 1, 1)).load(tmp_path / "turned.png")
    assert found.shape == (1, 3, 20, 10)
    np.testing.assert_array_equal(found[0, :, 0, 0], [0, 1, 0])
    np.testing.assert_array_equal(found[0, :, -1, 0], [1, 0, 0])


def test_existing_output_is_replaced_only_by_force(tmp_path):
    output = tmp_path / "1"
    output.mkdir()
    (output / "old").touch()
    with pytest.raises(ExportError, match="exists"):
        export_model(classifier(), output, preprocess=PREPROCESS)
    assert os.listdir(output) == ["old"]
    export_model(classifier(), output, preprocess=PREPROCESS, force=True)
    assert "old" not in os.listdir(output)
    assert "model.onnx" in os.listdir(output)
    assert os.listdir(tmp_path) == ["1"]


def test_model_that_differs_from_pytorch_is_refused(tmp_path, monkeypatch):
    def corrupted(*arguments):
        model = to_onnx(*arguments)
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == "0.2.whitening")
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * 1.01, weight.name))
        return model

    to_onnx = model_directory.to_onnx
    monkeypatch.setattr(model_directory, "to_onnx", corrupted)
    with pytest.raises(CheckError, match="golden input, batch 1: differs by"):
        export_model(classifier(), tmp_path / "models" / "1", preprocess=PREPROCESS)
    assert os.listdir(tmp_path) == []


def test_golden_archive_of_another_model_is_refused(tmp_path):
    file = tmp_path / "pair.npz"
    rng = np.random.default_rng(0)
    np.savez(
        file,
        input=rng.standard_normal((2, 3, *SIZE), dtype=np.float32),
        logits=rng.standard_normal((2, 3), dtype=np.float32),
    )
    with pytest.raises(CheckError, match="off by more than"):
        export_model(classifier(), tmp_path / "1", preprocess=PREPROCESS, golden=GoldenSource(pair=file))
    assert os.listdir(tmp_path) == ["pair.npz"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
def test_interrupted_export_leaves_nothing(tmp_path, monkeypatch, error):
    def interrupted(*_):
        raise error

    monkeypatch.setattr(model_directory, "write_pair", interrupted)
    with pytest.raises(error):
        export_model(classifier(), tmp_path / "models" / "tiny" / "1", preprocess=PREPROCESS)
    assert os.listdir(tmp_path) == []


def test_untrained_block_is_named(tmp_path):
    network = classifier()
    network[0][2].AR.running_scale.zero_()
    with pytest.raises(UntrainedBlockError, match=r"0\.2"):
        export_model(network, tmp_path / "1", preprocess=PREPROCESS)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("labels", [["a"], ["a", "", "c"], ["a", "b\nc", "d"], ["a", "b ", "c"]])
def test_labels_that_do_not_fit_are_refused(tmp_path, labels):
    with pytest.raises(ExportError, match="label"):
        export_model(classifier(), tmp_path / "1", labels=labels, preprocess=PREPROCESS)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "options",
    [{"size": (0, 4)}, {"size": (32, 64), "resize_to": 48}, {"filter": "box"}, {"std": (1, 0, 1)}, {"mean": (1, 2)}],
)
def test_impossible_preprocessing_is_refused(options):
    with pytest.raises(ExportError):
        Preprocess(**options)


def test_a_single_pixel_in_front_of_a_block_is_refused(tmp_path):
    network = classifier()
    network[0].insert(2, nn.AdaptiveAvgPool2d(1))
    with pytest.raises(ExportError, match="more than one pixel"):
        export_model(network, tmp_path / "1", preprocess=PREPROCESS)


def test_labels_default_to_numbers(tmp_path):
    export_model(classifier(), tmp_path / "1", preprocess=PREPROCESS)
    assert (tmp_path / "1" / "labels.txt").read_text() == "class_0\nclass_1\nclass_2\n"
    session = onnxruntime.InferenceSession(tmp_path / "1" / "model.onnx")
    with np.load(tmp_path / "1" / "golden.npz") as golden:
        logits = session.run(["logits"], {"input": golden["input"]})[0]
        np.testing.assert_allclose(logits, golden["logits"], atol=1e-5)
