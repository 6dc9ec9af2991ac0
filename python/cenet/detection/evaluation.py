"""Mean average precision after COCO, by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from cenet.detection.annotations import AnnotatedPicture
from cenet.detection.decode import DecodeOptions, Detections, decode
from cenet.detection.pictures import EvaluationSet
from cenet.training.images import normalise


@dataclass(frozen=True)
class AveragePrecision:
    """Means over the labels that occur, and each such label's own; in 0 to 1. Without any, the means are NaN."""

    map50: float
    """At an IoU of 0.5."""
    map50_95: float
    """Mean over IoUs of 0.5 to 0.95 in steps of 0.05."""
    by_label: dict[str, tuple[float, float]]
    """Both, for each label."""


@torch.inference_mode()
def detect(
    network: nn.Module, pictures: EvaluationSet, batch_size: int, options: DecodeOptions | None = None
) -> list[Detections]:
    """The objects that the network finds, in float32, boxes in pixels of the original pictures."""
    network.eval()
    found = [
        detections
        for batch in pictures.pixels.split(batch_size)
        for detections in decode(network(normalise(batch)), options)
    ]
    return [
        detections._replace(boxes=placement.to_picture(detections.boxes))
        for detections, placement in zip(found, pictures.placements, strict=True)
    ]


def average_precision(
    found: Sequence[Detections], pictures: Sequence[AnnotatedPicture], labels: Sequence[str]
) -> AveragePrecision:
    """Compares detections with annotations, picture by picture; at most 100 detections a picture count."""
    evaluation = _evaluate(_annotations(pictures, labels), _results(found))
    # [IoU, recall, label, area range, number of detections]; -1 where a label has no object.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_label = {
        name: (float(precision[0, :, label].mean()), float(precision[:, :, label].mean()))
        for label, name in enumerate(labels)
        if precision[0, 0, label] >= 0
    }
    means = np.mean(list(by_label.values()), axis=0) if by_label else (np.nan, np.nan)
    return AveragePrecision(float(means[0]), float(means[1]), by_label)


def _evaluate(annotations: dict, results: list[dict]) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = annotations
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results) if results else _nothing(annotations), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _nothing(annotations: dict) -> COCO:
    """Results without any detection, which `loadRes` can't make."""
    empty = COCO()
    empty.dataset = {**annotations, "annotations": []}
    empty.createIndex()
    return empty


def _annotations(pictures: Sequence[AnnotatedPicture], labels: Sequence[str]) -> dict:
    # Ids start at 1: pycocotools takes a match with annotation 0 for none.
    objects = [(image, entry) for image, picture in enumerate(pictures) for entry in picture.objects]
    return {
        "images": [{"id": image} for image in range(len(pictures))],
        "categories": [{"id": label, "name": name} for label, name in enumerate(labels)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": entry.label,
                "bbox": _corner_and_size(entry.box),
                "area": _corner_and_size(entry.box)[2] * _corner_and_size(entry.box)[3],
                "iscrowd": int(entry.ignored),
            }
            for number, (image, entry) in enumerate(objects, start=1)
        ],
    }


def _results(found: Sequence[Detections]) -> list[dict]:
    return [
        {"image_id": image, "category_id": label, "bbox": _corner_and_size(box), "score": score}
        for image, detections in enumerate(found)
        for box, score, label in zip(*(part.tolist() for part in detections), strict=True)
    ]


def _corner_and_size(box: Sequence[float]) -> list[float]:
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]
