"""Annotations, placement, augmentation and average precision, on drawn pictures."""

import json
from pathlib import Path

import pytest
import torch
from detection_pictures import draw_voc
from PIL import Image

from cenet.detection.annotations import AnnotatedObject, AnnotatedPicture, read_part
from cenet.detection.augment import BoxAugmentation, augment, cut
from cenet.detection.decode import Detections
from cenet.detection.evaluation import average_precision
from cenet.detection.pictures import Sample, load_for_evaluation, load_samples
from cenet.errors import DataError
from cenet.placement import FILL, fit, place

STILL = BoxAugmentation((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.3)


def test_voc_is_read_with_difficult_and_empty_objects(tmp_path):
    draw_voc(tmp_path, {"train": 2, "test": 1})
    file = tmp_path / "Annotations" / "train_0.xml"
    extra = (
        "<object><name>disc</name><difficult>1</difficult>"
        "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30.5</xmax><ymax>40</ymax></bndbox></object>"
        "<object><name>disc</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object>"
    )
    file.write_text(file.read_text().replace("</annotation>", extra + "</annotation>"))
    annotations = read_part(tmp_path, "train")
    assert annotations.labels == ["disc", "square"]
    assert [picture.path.name for picture in annotations.pictures] == ["train_0.jpg", "train_1.jpg"]
    difficult = AnnotatedObject(0, (1.0, 2.0, 30.5, 40.0), ignored=True)
    assert annotations.pictures[0].objects[-1] == difficult and len(annotations.pictures[0].objects) == 3
    samples = load_samples(annotations.pictures, "train")
    assert len(samples[0].boxes) == 2, "difficult objects are not trained on"


def test_coco_is_read_by_category_ids(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "val2017" / "a.jpg")
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "categories": [{"id": 9, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 10, 20], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [5, 5, 8, 4], "iscrowd": 1},
            {"id": 3, "image_id": 7, "category_id": 3, "bbox": [5, 5, 0, 4]},
        ],
    }
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    annotations = read_part(tmp_path, "annotations/instances_val2017.json")
    assert annotations.labels == ["dog", "cat"]
    (picture,) = annotations.pictures
    assert picture.path == tmp_path / "val2017" / "a.jpg"
    assert picture.objects == (
        AnnotatedObject(1, (1.0, 2.0, 11.0, 22.0)),
        AnnotatedObject(0, (5.0, 5.0, 13.0, 9.0), ignored=True),
    )


def test_what_cannot_be_read_is_told(tmp_path):
    draw_voc(tmp_path, {"train": 1})
    with pytest.raises(DataError, match="part val"):
        read_part(tmp_path, "val")
    (tmp_path / "Annotations" / "train_0.xml").write_text("<annotation>")
    with pytest.raises(DataError, match="part train"):
        read_part(tmp_path, "train")
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(DataError, match="categories"):
        read_part(tmp_path, "a.json")


def test_a_letterboxed_picture_and_its_boxes_lie_where_they_should():
    image = Image.new("RGB", (100, 50), (255, 0, 0))
    placement = place(image.size, (64, 64), "letterbox")
    assert (placement.inner, placement.offset) == ((64, 32), (0, 16))
    boxed = fit(image, (64, 64), "letterbox")
    assert boxed.getpixel((0, 15)) == FILL and boxed.getpixel((0, 16)) == (255, 0, 0)
    box = torch.tensor([[10.0, 5, 90, 45]])
    inside = placement.to_input(box)
    torch.testing.assert_close(inside, torch.tensor([[6.4, 19.2, 57.6, 44.8]]))
    torch.testing.assert_close(placement.to_picture(inside), box)
    torch.testing.assert_close(
        placement.to_picture(torch.tensor([[-9.0, 0, 70, 64]])), torch.tensor([[0.0, 0, 100, 50]])
    )


def test_a_stretched_picture_fills_the_input():
    placement = place((100, 50), (64, 32), "stretch")
    box = torch.tensor([[50.0, 25, 100, 50]])
    torch.testing.assert_close(placement.to_input(box), torch.tensor([[16.0, 32, 32, 64]]))
    assert fit(Image.new("RGB", (100, 50)), (64, 32), "stretch").size == (32, 64)


def marked_sample() -> Sample:
    """White 20 x 10 pixels on black at (40, 30), in a picture of 100 x 80."""
    pixels = torch.zeros(3, 80, 100, dtype=torch.uint8)
    pixels[:, 30:40, 40:60] = 255
    return Sample(pixels, torch.tensor([[40.0, 30, 60, 40]]), torch.tensor([1]))


def bounds_of_white(pixels: torch.Tensor) -> list[float]:
    rows, columns = (pixels[0] > 127).nonzero().unbind(1)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_boxes_follow_their_objects_through_every_change():
    torch.manual_seed(0)
    strengths = BoxAugmentation((0.8, 1.3), 0.2, 0.5, 0.5, 0.0)
    pixels, boxes, labels = augment([marked_sample()] * 24, (160, 200), strengths)
    corners = set()
    for picture, box, label in zip(pixels, boxes, labels, strict=True):
        # Rows of FILL around a larger window are grey, below the limit.
        found = torch.tensor(bounds_of_white(picture), dtype=torch.float32)
        assert label.tolist() == [1] and (found - box[0]).abs().max() <= 1.5
        corners.add(tuple(box[0].round().tolist()))
    assert len(corners) > 20


def test_no_strength_changes_nothing():
    pixels, boxes, _ = augment([marked_sample()], (80, 100), STILL)
    torch.testing.assert_close(pixels[0].byte(), marked_sample().pixels)
    torch.testing.assert_close(boxes[0], marked_sample().boxes)


def test_a_window_cuts_boxes_and_drops_those_hardly_seen():
    left_half = cut(marked_sample(), (0, 0, 50, 80), (80, 50), STILL)
    torch.testing.assert_close(left_half.boxes, torch.tensor([[40.0, 30, 50, 40]]))
    sliver = cut(marked_sample(), (0, 0, 45, 80), (80, 45), STILL)
    assert sliver.boxes.shape == (0, 4) and sliver.labels.shape == (0,)
    outside = cut(marked_sample(), (-20, -10, 140, 100), (100, 140), STILL)
    torch.testing.assert_close(outside.boxes, torch.tensor([[60.0, 40, 80, 50]]))
    assert outside.pixels[:, 0, 0].tolist() == list(FILL)


def detections(*rows: tuple[list[float], float, int]) -> Detections:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores), torch.tensor(labels, dtype=torch.int64))


def test_average_precision_of_a_known_case():
    box, other = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 70.0, 70.0)
    pictures = [
        AnnotatedPicture(Path("a"), (AnnotatedObject(0, box), AnnotatedObject(0, other), AnnotatedObject(1, box))),
        AnnotatedPicture(Path("b"), (AnnotatedObject(1, other, ignored=True),)),
    ]
    found = [
        # Label 0: a miss above a hit, one object never found. Label 1: a hit with an IoU of 0.8.
        detections(([20.0, 20, 30, 30], 0.9, 0), ([*box], 0.8, 0), ([0.0, 0, 10, 8], 0.7, 1)),
        # On the ignored object: neither right nor wrong.
        detections(([*other], 0.99, 1)),
    ]
    precision = average_precision(found, pictures, ["disc", "square", "absent"])
    # Precision 1/2 at the recalls 0 to 0.5, which are 51 of COCO's 101 points.
    assert precision.by_label["disc"][0] == pytest.approx(0.5 * 51 / 101)
    assert precision.by_label["square"] == (pytest.approx(1.0), pytest.approx(0.7))
    assert "absent" not in precision.by_label
    assert precision.map50 == pytest.approx((0.5 * 51 / 101 + 1) / 2)
    nothing = average_precision([detections()] * 2, pictures, ["disc", "square"])
    assert (nothing.map50, nothing.map50_95) == (0, 0)


def test_bccd_has_its_known_counts(data_root):
    root = data_root / "bccd"
    if not root.is_dir():
        pytest.skip(f"no {root}: set CENET_TEST_DATA to run this test")
    training, test = read_part(root, "trainval"), read_part(root, "test")
    assert training.labels == test.labels == ["Platelets", "RBC", "WBC"]
    assert (len(training.pictures), len(test.pictures)) == (292, 72)
    # 4,888 as annotated, two of them without area.
    assert sum(len(picture.objects) for part in (training, test) for picture in part.pictures) == 4886
    pictures = load_for_evaluation(test.pictures[:2], (288, 384), "stretch", "test")
    assert pictures.pixels.shape == (2, 3, 288, 384)
