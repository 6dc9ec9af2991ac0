"""Weights read back from exported files."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from detection_pictures import draw_voc
from test_export_graph import trained

from cenet.checkpoint import StateMismatchError
from cenet.detection.network import STRIDES, build_detector
from cenet.export import ExportError, FcosHead
from cenet.export.graph import to_onnx
from cenet.export.restore import restore_detector
from cenet.tools import reference_boxes
from cenet.tools.tiny_model import randomise_blocks

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "ce_fcos_bccd" / "1"


def test_the_shipped_detector_gives_its_golden_outputs():
    detector = restore_detector(SHIPPED / "model.onnx")
    with np.load(SHIPPED / "golden.npz") as golden, torch.inference_mode():
        levels = detector(torch.from_numpy(golden["input"]))
        for stride, level in zip(STRIDES, levels, strict=True):
            for name, found in zip(("class", "box", "centerness"), level, strict=True):
                expected = golden[f"{name}_{stride}"]
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("backbone", ["ce_resnet_small", "ce_mobilenet_v2"])
def test_a_detector_comes_back_as_it_was(backbone, tmp_path):
    torch.manual_seed(0)
    detector = build_detector(backbone, num_classes=2, channels=8, depth=1)
    randomise_blocks(detector)
    with torch.no_grad():
        for module in detector.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        # A bias of zeros is no bias to the exporter.
        detector.class_output.bias.normal_()
        detector.centerness_output.bias.normal_()
        trained(detector, (64, 64))
        detector.box_scales.copy_(torch.tensor([0.5, 1.5, 2.0]))
    onnx.save(to_onnx(detector, torch.randn(1, 3, 64, 64), outputs=FcosHead().outputs), tmp_path / "model.onnx")
    restored = restore_detector(tmp_path / "model.onnx", backbone)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        for found, expected in zip(restored(x), detector(x), strict=True):
            for part, whole in zip(found, expected, strict=True):
                torch.testing.assert_close(part, whole, atol=1e-4 * whole.abs().max().item(), rtol=0)
    with pytest.raises(StateMismatchError, match="differ"):
        restore_detector(tmp_path / "model.onnx", "ce_resnet18")


def test_what_is_no_detector_is_refused():
    with pytest.raises(ExportError, match="no detector"):
        restore_detector(SHIPPED.parents[1] / "ce_resnet_caltech101" / "1" / "model.onnx")


def test_reference_boxes_are_written_a_picture_a_line(tmp_path, capsys):
    draw_voc(tmp_path, {"test": 3})
    arguments = ["--model", str(SHIPPED), "--data", str(tmp_path), "--count", "2", "--threshold", "0.01"]
    reference_boxes.main(arguments)
    lines = [text.split("\t") for text in capsys.readouterr().out.splitlines()]
    assert [fields[0] for fields in lines] == ["test_0.jpg", "test_1.jpg"]
    rows = [[float(number) for number in field.split(" ")] for fields in lines for field in fields[1:]]
    assert rows and all(row[0] in (0, 1, 2) and 0.01 <= row[1] <= 1 for row in rows)
    assert all(0 <= left < right <= 96 and 0 <= top < bottom <= 64 for *_, left, top, right, bottom in rows)
