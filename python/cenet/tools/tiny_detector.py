"""Writes a torchvision detector of under a megabyte: `python -m cenet.tools.tiny_detector mask_rcnn DIR`.

The network is a narrow one on a CE-ResNet of four blocks, for 96x128 pixels and three labels, with seeded random
weights and the statistics of a few random batches. Its heads' weights are drawn wide, so that scores lie far apart: it
finds nothing that means anything, but the same boxes wherever it runs.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.ops import MultiScaleRoIAlign

from cenet.detection.torchvision_detectors import KINDS, build_torchvision_detector
from cenet.export import BoxesHead, ExportReport, GoldenSource, Preprocess, export_model, one_picture
from cenet.tools.tiny_model import LABELS, picture, randomise_blocks

SIZE = (96, 128)
_BATCHES = 40
# Seeds whose networks find boxes of several labels and levels in the golden picture.
_SEEDS = {"faster_rcnn": 5, "mask_rcnn": 0, "retinanet": 2}


def tiny_detector(kind: str) -> FasterRCNN | RetinaNet:
    """The network, in evaluation mode; it keeps at most 20 boxes with scores above a half."""
    torch.manual_seed(_SEEDS[kind])
    detector = build_torchvision_detector(
        kind,
        "ce_resnet",
        num_classes=len(LABELS),
        channels=16,
        hidden=32,
        anchor_sizes=(8, 16, 24, 48, 80),
        score_threshold=0.5,
        max_detections=20,
        block="basic",
        layers=(1, 1, 1, 1),
        width=8,
        stem="3x3",
    ).train()
    randomise_blocks(detector)
    with torch.no_grad():
        for _ in range(_BATCHES):
            detector.backbone(torch.randn(4, 3, *SIZE))
        _spread_scores(detector.eval())
    for pool in detector.modules():
        if isinstance(pool, MultiScaleRoIAlign):
            # So that boxes of a small picture belong to different levels.
            pool.canonical_scale = 24
    return detector


def _spread_scores(detector: FasterRCNN | RetinaNet) -> None:
    if isinstance(detector, RetinaNet):
        towers = (detector.head.classification_head.conv, detector.head.regression_head.conv)
        outputs = (detector.head.classification_head.cls_logits, detector.head.regression_head.bbox_reg)
        # The background, which training would have taught it never to name.
        outputs[0].bias.view(-1, len(LABELS) + 1)[:, 0] = -50
    else:
        towers = (detector.rpn.head.conv,)
        outputs = (detector.rpn.head.cls_logits, detector.rpn.head.bbox_pred)
        nn.init.normal_(detector.roi_heads.box_predictor.cls_score.weight, std=1.2)
        nn.init.normal_(detector.roi_heads.box_predictor.bbox_pred.weight, std=0.5)
    for tower in towers:
        for layer in tower.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(outputs[0].weight, std=0.1)
    nn.init.normal_(outputs[1].weight, std=0.02)
    if isinstance(detector, MaskRCNN):
        nn.init.normal_(detector.roi_heads.mask_predictor.mask_fcn_logits.weight)


def export_tiny_detector(kind: str, output: Path, force: bool = False) -> ExportReport:
    """Exports the network to the model directory `output`."""
    module = one_picture(tiny_detector(kind))
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "golden.png"
        picture().save(image)
        return export_model(
            module,
            output,
            labels=LABELS,
            preprocess=Preprocess(SIZE, None, letterbox=True),
            golden=GoldenSource(image=image),
            head=BoxesHead.of(module),
            description="A tiny detector with random weights, for tests.",
            license="CC0-1.0",
            force=force,
        )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cenet.tools.tiny_detector", description="Writes a tiny detector.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("output", type=Path, help="model directory to write")
    parser.add_argument("--force", action="store_true", help="replace it if it exists")
    options = parser.parse_args(arguments)
    report = export_tiny_detector(options.kind, options.output, options.force)
    print(f"{report.output}: {report.ce_nodes} CE nodes, {report.model_bytes} bytes")
    print("\n".join(map(str, report.differences)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
