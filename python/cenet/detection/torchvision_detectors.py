"""torchvision's detectors on CE backbones: Faster R-CNN, Mask R-CNN (the paper's for COCO) and RetinaNet.

They are torchvision's own classes, with its state names, arguments and losses, so that its training code works on them:
pictures of any size in 0 to 1 go in, and label 0 is the background. What is exported of them, and what the server does
before and after, is in `cenet.export.one_picture`.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from cenet.networks import build_network
from cenet.networks.resnet import ResNet

KINDS = ("faster_rcnn", "mask_rcnn", "retinanet")
ANCHOR_SIZES = (32, 64, 128, 256, 512)
_ASPECT_RATIOS = (0.5, 1.0, 2.0)


def build_torchvision_detector(
    kind: str,
    backbone: str,
    *,
    num_classes: int,
    channels: int = 256,
    hidden: int = 1024,
    anchor_sizes: Sequence[int] = ANCHOR_SIZES,
    score_threshold: float = 0.05,
    iou: float = 0.5,
    max_detections: int = 100,
    **options: Any,
) -> FasterRCNN | RetinaNet:
    """A detector with a feature pyramid on the named CE-ResNet; the defaults are those of torchvision's own builders.

    Args:
        kind: one of `KINDS`.
        backbone: name of a ResNet for `cenet.networks.build_network`.
        num_classes: labels, without the background that torchvision counts too.
        channels: width of the pyramid and the heads.
        hidden: width of the R-CNNs' box head.
        anchor_sizes: side of the anchors at each of the five levels, in pixels of the resized picture.
        score_threshold, iou, max_detections: what is kept of a picture's boxes.
        options: for the backbone's builder, such as `norm="bn"` for the twin without CE blocks.

    Raises:
        ValueError: for an unknown kind, an unknown backbone or one that is no ResNet.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown detector {kind!r}; known: {', '.join(KINDS)}")
    if len(anchor_sizes) != len(ANCHOR_SIZES):
        raise ValueError(f"a pyramid has {len(ANCHOR_SIZES)} levels, got anchors of {list(anchor_sizes)} pixels")
    body = build_network(backbone, **options)
    if not isinstance(body, ResNet):
        raise ValueError(f"torchvision's detectors are built on ResNets, {backbone} is none")
    if kind == "retinanet":
        return RetinaNet(
            _pyramid(body, (2, 3, 4), channels, LastLevelP6P7(channels, channels)),
            num_classes + 1,
            anchor_generator=_octave_anchors(anchor_sizes),
            score_thresh=score_threshold,
            nms_thresh=iou,
            detections_per_img=max_detections,
        )
    parts = {
        "rpn_anchor_generator": _anchors([(size,) for size in anchor_sizes]),
        "box_head": TwoMLPHead(channels * 7**2, hidden),
        "box_predictor": FastRCNNPredictor(hidden, num_classes + 1),
        "box_score_thresh": score_threshold,
        "box_nms_thresh": iou,
        "box_detections_per_img": max_detections,
    }
    pyramid = _pyramid(body, (1, 2, 3, 4), channels)
    if kind == "faster_rcnn":
        return FasterRCNN(pyramid, **parts)
    mask_head = MaskRCNNHeads(channels, (channels,) * 4, 1)
    return MaskRCNN(
        pyramid, **parts, mask_head=mask_head, mask_predictor=MaskRCNNPredictor(channels, channels, num_classes + 1)
    )


def _pyramid(body: ResNet, stages: Sequence[int], channels: int, extra: nn.Module | None = None) -> BackboneWithFPN:
    """The outputs of some stages, counted from 1, brought to one width, and coarser levels on top of them."""
    finest = body.pyramid_channels[0] // 2
    widths = [finest << (stage - 1) for stage in stages]
    layers = {f"layer{stage}": str(index) for index, stage in enumerate(stages)}
    return BackboneWithFPN(body, layers, widths, channels, extra)


def _octave_anchors(sizes: Sequence[int]) -> AnchorGenerator:
    """RetinaNet's: three sizes a level, a third of an octave apart."""
    return _anchors([tuple(int(size * 2 ** (third / 3)) for third in range(3)) for size in sizes])


def _anchors(sizes: Sequence[tuple[int, ...]]) -> AnchorGenerator:
    return AnchorGenerator(tuple(sizes), (_ASPECT_RATIOS,) * len(sizes))
