"""torchvision's detectors as one graph: a tensor of one picture in, decoded boxes out.

torchvision resizes and normalises in the model; here the server has done both, so `GeneralizedRCNNTransform` is left
out, and boxes are in pixels of the tensor. Masks are those of Mask R-CNN before they are pasted into the picture.

Called from Python, the modules run torchvision's own code. It branches on how many boxes there are, which no graph can
hold, so that while they are exported they run the same arithmetic without such branches instead.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, concat_box_prediction_layers
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image, nms, roi_align
from torchvision.ops.poolers import LevelMapper

# Boxes with a side below this are dropped, in pixels, by torchvision's code.
_SMALLEST_BOX = 1e-2


class OnePicture(nn.Module, ABC):
    """[1, 3, H, W] to boxes [D, 4], labels [D] (1 is the first), scores [D], best first."""

    outputs: tuple[str, ...] = ("boxes", "labels", "scores")

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if torch.compiler.is_exporting():
            return self._traceable(x, self.detector.backbone(x))
        pictures = ImageList(x, [tuple(x.shape[2:])])
        (found,) = self._eager(pictures, self.detector.backbone(x))
        return tuple(found[name] for name in self.outputs)

    @abstractmethod
    def _eager(self, pictures: ImageList, features: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """What torchvision finds."""

    @abstractmethod
    def _traceable(self, x: Tensor, features: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """The same, without branches on values."""


class OnePictureRcnn(OnePicture):
    """Of a Faster R-CNN; of a Mask R-CNN with `masks` too, [D, 1, M, M] probabilities over each box."""

    def __init__(self, detector: FasterRCNN) -> None:
        super().__init__(detector)
        if detector.roi_heads.has_mask():
            self.outputs = (*self.outputs, "masks")

    def _eager(self, pictures: ImageList, features: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        proposals, _ = self.detector.rpn(pictures, features)
        return self.detector.roi_heads(features, proposals, pictures.image_sizes)[0]

    def _traceable(self, x: Tensor, features: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        heads: RoIHeads = self.detector.roi_heads
        proposals = _proposals(self.detector.rpn, x, list(features.values()))
        pooled = heads.box_head(_pool(heads.box_roi_pool, x, features, proposals))
        boxes, labels, scores = _classified(heads, *heads.box_predictor(pooled), proposals, tuple(x.shape[2:]))
        if not heads.has_mask():
            return boxes, labels, scores
        pooled = heads.mask_head(_pool(heads.mask_roi_pool, x, features, boxes))
        masks = heads.mask_predictor(pooled).sigmoid()
        own = labels[:, None, None, None].expand(-1, 1, *masks.shape[2:])
        return boxes, labels, scores, masks.gather(1, own)


class OnePictureRetinaNet(OnePicture):
    """Of a RetinaNet."""

    detector: RetinaNet

    def _eager(self, pictures: ImageList, features: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        levels = list(features.values())
        outputs = self.detector.head(levels)
        anchors = self.detector.anchor_generator(pictures, levels)
        counts = self._anchors_a_level(levels)
        parts = {name: list(output.split(counts, dim=1)) for name, output in outputs.items()}
        anchor_parts = [list(anchors[0].split(counts))]
        return self.detector.postprocess_detections(parts, anchor_parts, pictures.image_sizes)

    def _anchors_a_level(self, levels: Sequence[Tensor]) -> list[int]:
        a_place = self.detector.anchor_generator.num_anchors_per_location()
        return [level.shape[2] * level.shape[3] * anchors for level, anchors in zip(levels, a_place, strict=True)]

    def _traceable(self, x: Tensor, features: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        levels, size = list(features.values()), tuple(x.shape[2:])
        outputs = self.detector.head(levels)
        (anchors,) = self.detector.anchor_generator(ImageList(x, [size]), levels)
        counts = self._anchors_a_level(levels)
        parts = zip(
            outputs["cls_logits"][0].split(counts),
            outputs["bbox_regression"][0].split(counts),
            anchors.split(counts),
            strict=True,
        )
        candidates = [self._candidates(*part, size) for part in parts]
        boxes, labels, scores = (torch.cat(part) for part in zip(*candidates, strict=True))
        kept = _suppress(boxes, scores, labels, self.detector.nms_thresh, size)[: self.detector.detections_per_img]
        return boxes[kept], labels[kept], scores[kept]

    def _candidates(
        self, logits: Tensor, deltas: Tensor, anchors: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best of a level above the threshold."""
        scores = logits.sigmoid().flatten()
        scores, order = scores.topk(min(self.detector.topk_candidates, scores.shape[0]))
        passed = _where(scores > self.detector.score_thresh)
        scores, order = scores[passed], order[passed]
        places = torch.div(order, logits.shape[1], rounding_mode="floor")
        boxes = self.detector.box_coder.decode_single(deltas[places], anchors[places])
        return clip_boxes_to_image(boxes, size), order % logits.shape[1], scores


def one_picture(detector: nn.Module) -> OnePicture:
    """The module to export for a detector of torchvision.

    Raises:
        TypeError: if it is no R-CNN and no RetinaNet.
    """
    if isinstance(detector, FasterRCNN):
        return OnePictureRcnn(detector)
    if isinstance(detector, RetinaNet):
        return OnePictureRetinaNet(detector)
    raise TypeError(f"{type(detector).__name__} is no Faster R-CNN, Mask R-CNN or RetinaNet of torchvision")


def _proposals(rpn: RegionProposalNetwork, x: Tensor, levels: list[Tensor]) -> Tensor:
    """Where objects may be, [P, 4]: `RegionProposalNetwork.forward` for one picture."""
    size = tuple(x.shape[2:])
    objectness, deltas = rpn.head(levels)
    counts = [level.shape[1] * level.shape[2] * level.shape[3] for level in objectness]
    (anchors,) = rpn.anchor_generator(ImageList(x, [size]), levels)
    objectness, deltas = concat_box_prediction_layers(objectness, deltas)
    boxes = clip_boxes_to_image(rpn.box_coder.decode_single(deltas, anchors), size)
    best, first = [], 0
    for count, level in zip(counts, objectness.flatten().split(counts), strict=True):
        best.append(level.topk(min(rpn.pre_nms_top_n(), count)).indices + first)
        first += count
    numbers = torch.cat([torch.full_like(order, number) for number, order in enumerate(best)])
    chosen = torch.cat(best)
    boxes, scores = boxes[chosen], objectness.flatten()[chosen].sigmoid()
    passed = _where(_is_large(boxes, rpn.min_size) & (scores >= rpn.score_thresh))
    boxes, scores, numbers = boxes[passed], scores[passed], numbers[passed]
    return boxes[_suppress(boxes, scores, numbers, rpn.nms_thresh, size)[: rpn.post_nms_top_n()]]


def _pool(pool: MultiScaleRoIAlign, x: Tensor, features: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
    """`MultiScaleRoIAlign`: each box's part of the level that fits its size, [P, C, h, w]."""
    levels = [features[name] for name in features if name in pool.featmap_names]
    octaves = [round(math.log2(x.shape[2] / level.shape[2])) for level in levels]
    mapper = LevelMapper(octaves[0], octaves[-1], pool.canonical_scale, pool.canonical_level)
    own_level = mapper([boxes])
    rois = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], dim=1)
    members = [_where(own_level == number) for number in range(len(levels))]
    parts = [
        roi_align(level, rois[member], pool.output_size, 2.0**-octave, pool.sampling_ratio)
        for level, member, octave in zip(levels, members, octaves, strict=True)
    ]
    order = torch.cat(members)
    back = torch.zeros_like(order).scatter(0, order, torch.arange(order.shape[0]))
    return torch.cat(parts)[back]


def _classified(
    heads: RoIHeads, logits: Tensor, deltas: Tensor, proposals: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """`RoIHeads.postprocess_detections` for one picture: boxes, labels, scores."""
    classes = logits.shape[1]
    boxes = heads.box_coder.decode_single(deltas, proposals).reshape(-1, classes, 4)
    boxes = clip_boxes_to_image(boxes, size)[:, 1:].reshape(-1, 4)
    scores = logits.softmax(-1)[:, 1:].reshape(-1)
    passed = _where((scores > heads.score_thresh) & _is_large(boxes, _SMALLEST_BOX))
    boxes, scores, labels = boxes[passed], scores[passed], passed % (classes - 1) + 1
    kept = _suppress(boxes, scores, labels, heads.nms_thresh, size)[: heads.detections_per_img]
    return boxes[kept], labels[kept], scores[kept]


def _suppress(boxes: Tensor, scores: Tensor, groups: Tensor, iou: float, size: tuple[int, int]) -> Tensor:
    """Positions of what non-maximum suppression leaves of each group, best first.

    Groups are moved apart, each by more than the size of the picture that all boxes lie in.
    """
    offsets = groups.to(boxes.dtype) * (max(size) + 1)
    return nms(boxes + offsets[:, None], scores, iou)


def _is_large(boxes: Tensor, side: float) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0] >= side) & (boxes[:, 3] - boxes[:, 1] >= side)


def _where(condition: Tensor) -> Tensor:
    """Positions of what is true: [N] bool to [M] int64."""
    return condition.nonzero()[:, 0]
