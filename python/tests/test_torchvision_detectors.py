"""torchvision's detectors on CE backbones: their state, and that the exported graphs find what torchvision finds."""

import json
import os
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from pycocotools import mask
from torchvision.models import detection
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from cenet import CEBlock
from cenet.checkpoint import UntrainedBlockError
from cenet.detection.torchvision_detectors import KINDS, build_torchvision_detector
from cenet.export import BoxesHead, ExportError, GoldenSource, Preprocess, cli, export_model, one_picture
from cenet.export.graph import block_nodes, to_onnx
from cenet.placement import Placement, place
from cenet.tools.tiny_detector import SIZE, export_tiny_detector, tiny_detector
from cenet.tools.tiny_model import LABELS, picture

REPOSITORY = Path(__file__).resolve().parents[2]
PREPROCESS = Preprocess(SIZE, None, letterbox=True)


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory) -> tuple[str, Path]:
    """The kind, and the model directory."""
    output = tmp_path_factory.mktemp("detectors") / request.param / "1"
    export_tiny_detector(request.param, output)
    return request.param, output


def pictures(folder: Path) -> list[Path]:
    """Three pictures of the tensor's aspect ratio and of others, that look unlike each other."""
    files = []
    for seed, size in enumerate([(128, 96), (96, 128), (200, 90)]):
        files.append(folder / f"{seed}.png")
        picture(seed).rotate(90 * seed, expand=True).resize(size).save(files[-1])
    return files


def whole_pipeline(detector: torch.nn.Module, tensor: np.ndarray) -> dict[str, np.ndarray]:
    """torchvision's own forward, with a transform that neither resizes nor normalises."""
    detector.transform = GeneralizedRCNNTransform(
        min(SIZE), max(SIZE), [0.0] * 3, [1.0] * 3, size_divisible=1, fixed_size=SIZE[::-1]
    )
    with torch.inference_mode():
        (found,) = detector.eval()([torch.from_numpy(tensor[0])])
    return {name: value.numpy() for name, value in found.items()}


def whole_masks(detector: torch.nn.Module, tensor: np.ndarray, placement: Placement, visible: np.ndarray) -> np.ndarray:
    """Which pixels of the original picture the visible ones of torchvision's masks cover: [D, height, width]."""
    with torch.inference_mode():
        boxes, _, _, masks = one_picture(detector).eval()(torch.from_numpy(tensor))
    scale = torch.tensor([inner / side for inner, side in zip(placement.inner, placement.picture, strict=True)] * 2)
    on_picture = (boxes - torch.tensor(placement.offset * 2)) / scale
    pasted = paste_masks_in_image(masks[visible], on_picture[visible], placement.picture[::-1])
    return (pasted[:, 0] >= 0.5).numpy()


def test_an_exported_detector_finds_what_torchvision_finds(exported, tmp_path):
    kind, directory = exported
    detector = tiny_detector(kind)
    session = onnxruntime.InferenceSession(directory / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    levels, labels = set(), set()
    for file in pictures(tmp_path):
        tensor = PREPROCESS.load(file)
        found = dict(zip(names, session.run(names, {"input": tensor}), strict=True))
        expected = whole_pipeline(detector, tensor)
        assert len(found["boxes"]) == len(expected["boxes"]) > 0
        np.testing.assert_array_equal(found["labels"], expected["labels"])
        np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1e-4 * max(SIZE))
        np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4)
        if kind == "mask_rcnn":
            masks = torch.from_numpy(found["masks"])
            assert masks.shape[1:] == (1, 28, 28) and masks.std() > 0.01
            pasted = paste_masks_in_image(masks, torch.from_numpy(found["boxes"]), SIZE)
            np.testing.assert_allclose(pasted, expected["masks"], atol=1e-4)
        sides = np.sqrt((found["boxes"][:, 2:] - found["boxes"][:, :2]).prod(1))
        levels |= set(np.floor(np.log2(sides / 24)).astype(int))
        labels |= set(found["labels"])
    assert labels <= {1, 2, 3} and len(labels) > 1
    # An R-CNN pools boxes of different sizes from different levels.
    assert kind == "retinanet" or len(levels) > 1


def test_the_directory_says_what_the_graph_gives(exported):
    kind, directory = exported
    manifest = tomllib.loads((directory / "model.toml").read_text())
    names = ["boxes", "labels", "scores", *(["masks"] if kind == "mask_rcnn" else [])]
    masks = {"masks": "masks", "mask_frame": "box"} if kind == "mask_rcnn" else {}
    expected = {"kind": "boxes", "boxes": "boxes", "classes": "labels", "scores": "scores", "first_class": 1}
    assert manifest["task"] == "detect" and manifest["head"] == expected | masks
    assert manifest["detection"] == {"threshold": 0.5, "iou": 0.5, "max_detections": 20}
    assert (directory / "labels.txt").read_text().splitlines() == list(LABELS)
    model = onnx.load(directory / "model.onnx")
    blocks = {name for name, part in one_picture(tiny_detector(kind)).named_modules() if isinstance(part, CEBlock)}
    assert {node.name for node in block_nodes(model)} == blocks and len(blocks) == 4
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert list(shapes) == ["input", *names]
    assert shapes["input"] == [1, 3, *SIZE] and shapes["boxes"] == ["detections", 4]
    with np.load(directory / "golden.npz") as golden:
        assert set(golden) == {"input", *names} and all(array.dtype == np.float32 for array in golden.values())


@pytest.mark.parametrize("kind", ["mask_rcnn", "retinanet"])
def test_nothing_found_is_an_answer(kind):
    detector = tiny_detector(kind)
    kept = detector if kind == "retinanet" else detector.roi_heads
    kept.score_thresh = 1.0
    module = one_picture(detector)
    model = to_onnx(module, torch.zeros(1, 3, *SIZE), outputs=module.outputs, open_batch=False)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {"input": np.zeros((1, 3, *SIZE), np.float32)})
    assert [len(array) for array in found] == [0] * len(module.outputs)
    with torch.inference_mode():
        assert [tuple(tensor.shape) for tensor in module.eval()(torch.zeros(1, 3, *SIZE))] == [a.shape for a in found]


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("faster_rcnn", detection.fasterrcnn_resnet50_fpn),
        ("mask_rcnn", detection.maskrcnn_resnet50_fpn),
        ("retinanet", detection.retinanet_resnet50_fpn),
    ],
)
def test_state_names_are_torchvisions(kind, reference):
    with torch.device("meta"):
        theirs = reference(weights=None, weights_backbone=None, num_classes=91).state_dict()
        ours = build_torchvision_detector(kind, "ce_resnet50", num_classes=90).state_dict()
    blocks = {name for name in ours if ".ce." in name or ".ce1." in name}
    assert len(blocks) == 14 * 8
    shapes = {name: value.shape for name, value in ours.items() if name not in blocks}
    assert shapes == {name: value.shape for name, value in theirs.items()}


def test_it_trains_by_torchvisions_loss():
    torch.manual_seed(0)
    detector = build_torchvision_detector(
        "mask_rcnn", "ce_resnet_small", num_classes=2, channels=8, hidden=16, anchor_sizes=(8, 16, 24, 48, 80), width=8
    )
    detector.transform.min_size, detector.transform.max_size = (64,), 96
    masks = torch.zeros(1, 64, 96, dtype=torch.uint8)
    masks[0, 10:40, 20:60] = 1
    target = {"boxes": torch.tensor([[20.0, 10.0, 60.0, 40.0]]), "labels": torch.tensor([2]), "masks": masks}
    losses = detector([torch.rand(3, 64, 96), torch.rand(3, 64, 96)], [target, target])
    sum(losses.values()).backward()
    gradients = [part.x_weight.grad for part in detector.modules() if isinstance(part, CEBlock)]
    assert len(losses) == 5 and len(gradients) == 6 and all(gradient.abs() > 0 for gradient in gradients)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("yolo", "ce_resnet50"), "unknown detector"),
        (("retinanet", "ce_mobilenet_v2"), "built on ResNets"),
        (("retinanet", "resnet"), "unknown network"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build_torchvision_detector(*arguments, num_classes=2)
    with torch.device("meta"), pytest.raises(ValueError, match="5 levels"):
        build_torchvision_detector("retinanet", "ce_resnet18", num_classes=2, anchor_sizes=(8, 16))


OPTIONS = ["channels=16", "hidden=32", "anchor_sizes=8,16,24,48,80", "score_threshold=0.001"]
OPTIONS += ["block=basic", "layers=1,1,1,1", "width=8", "stem=3x3"]


@pytest.fixture(scope="module")
def state_dict(tmp_path_factory) -> list[str]:
    """Options of a command line that exports a state dict."""
    folder = tmp_path_factory.mktemp("state")
    torch.save(tiny_detector("faster_rcnn").state_dict(), folder / "state.pt")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    picture().save(folder / "picture.png")
    arguments = ["--checkpoint", str(folder / "state.pt"), "--detector", "faster_rcnn", "--arch", "ce_resnet"]
    arguments += ["--golden-image", str(folder / "picture.png"), "--labels", str(folder / "labels.txt")]
    return arguments + [word for option in OPTIONS for word in ("--arch-option", option)]


def test_the_command_line_exports_a_state_dict(state_dict, tmp_path, capsys):
    assert cli.main([*state_dict, "--output", str(tmp_path / "1"), "--size", "96", "128"]) == 0
    assert "4 CE nodes" in capsys.readouterr().out
    manifest = tomllib.loads((tmp_path / "1" / "model.toml").read_text())
    assert manifest["preprocess"]["size"] == [96, 128] and manifest["preprocess"]["resize"]["mode"] == "letterbox"
    assert manifest["head"]["kind"] == "boxes" and manifest["detection"]["threshold"] == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--size HEIGHT WIDTH"),
        (["--size", "96", "128", "3"], "3 numbers"),
        (["--size", "96", "128", "--resize-to", "128"], "--size HEIGHT WIDTH"),
        (["--size", "96", "--activation", "softmax"], "--activation"),
        (["--size", "96", "--detector", "mask_rcnn"], "missing: roi_heads.mask_head"),
        (["--size", "96", "--arch-option", "depth=3"], "depth"),
        (["--size", "96", "128", "--arch-option", "score_threshold=1.0"], "nothing is found"),
    ],
)
def test_errors_are_one_message(state_dict, tmp_path, capsys, arguments, message):
    assert cli.main([*state_dict, "--output", str(tmp_path / "1"), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("cenet-export: ") and message in error
    assert os.listdir(tmp_path) == []


def test_impossible_exports_are_refused(tmp_path):
    detector = tiny_detector("retinanet")
    module = one_picture(detector)
    pair = tmp_path / "pair.npz"
    np.savez(pair, input=np.zeros((2, 3, *SIZE), np.float32), **dict.fromkeys(module.outputs, np.zeros(2, np.float32)))
    options = {"preprocess": PREPROCESS, "head": BoxesHead.of(module)}
    with pytest.raises(ExportError, match="one at a time"):
        export_model(module, tmp_path / "1", golden=GoldenSource(pair=pair), **options)
    with pytest.raises(TypeError, match="SSD"):
        one_picture(detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None))
    next(part for part in detector.modules() if isinstance(part, CEBlock)).AR.running_scale.zero_()
    with pytest.raises(UntrainedBlockError):
        export_model(module, tmp_path / "1", **options)


def test_the_server_finds_what_torchvision_finds(exported, server_binary, tmp_path):
    """The whole way: the binary preprocesses, runs the graph, and brings boxes back to the picture."""
    kind, directory = exported
    files = pictures(tmp_path)
    command = [server_binary, "predict", directory, *files, "--json", "--threshold", "0.5"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr.decode()
    answers = json.loads(run.stdout)
    detector = tiny_detector(kind)
    for file, answer in zip(files, answers, strict=True):
        expected = whole_pipeline(detector, PREPROCESS.load(file))
        with Image.open(file) as image:
            placement = place(image.size, SIZE, "letterbox")
        boxes = placement.to_picture(torch.from_numpy(expected["boxes"])).numpy()
        # What lies beside the picture in the letterbox is no answer.
        visible = (boxes[:, 2:] > boxes[:, :2]).all(1)
        found = answer["detections"]
        assert [entry["index"] + 1 for entry in found] == expected["labels"][visible].tolist()
        np.testing.assert_allclose([entry["score"] for entry in found], expected["scores"][visible], atol=1e-3)
        np.testing.assert_allclose([entry["box"] for entry in found], boxes[visible], atol=0.1)
        if kind == "mask_rcnn":
            masks = np.stack([mask.decode(entry["mask"]) for entry in found])
            expected_masks = whole_masks(detector, PREPROCESS.load(file), placement, visible)
            areas = (boxes[visible, 2:] - boxes[visible, :2]).prod(1)
            assert masks.shape == expected_masks.shape and 0.1 < masks.sum() / areas.sum() < 0.9
            # Rounding may decide a pixel whose value is nearly a half.
            assert (masks != expected_masks).sum() <= 0.01 * expected_masks.sum()
