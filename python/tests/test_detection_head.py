"""The detector's network, target assignment, losses and decoding, against cases worked out by hand."""

import math

import pytest
import torch

from cenet.detection.assignment import BACKGROUND, Targets, assign, cell_points, centerness
from cenet.detection.decode import DecodeOptions, decode
from cenet.detection.losses import detection_losses, generalised_iou
from cenet.detection.network import STRIDES, LevelOutput, build_detector

SIZES = ((8, 8), (4, 4), (2, 2))
POINTS = cell_points(SIZES, STRIDES)


def empty_outputs(classes: int = 2) -> list[LevelOutput]:
    """Heads that see nothing in one picture of 64x64 pixels; every box reaches 1 pixel from its point."""
    return [
        LevelOutput(torch.full((1, classes, *size), -20.0), torch.ones(1, 4, *size), torch.zeros(1, 1, *size))
        for size in SIZES
    ]


def assigned(*objects: tuple[list[float], int]) -> Targets:
    boxes = torch.tensor([box for box, _ in objects]).reshape(-1, 4)
    return assign(POINTS, STRIDES, boxes, torch.tensor([label for _, label in objects], dtype=torch.int64))


@pytest.mark.parametrize("backbone", ["ce_resnet_small", "ce_mobilenet_v2", "ce_resnet50"])
def test_outputs_have_the_declared_shapes_on_any_backbone(backbone):
    torch.manual_seed(0)
    network = build_detector(backbone, num_classes=3, channels=16, depth=1)
    outputs = network(torch.randn(2, 3, 64, 96))
    for level, stride in zip(outputs, STRIDES, strict=True):
        cells = (64 // stride, 96 // stride)
        assert [tuple(part.shape) for part in level] == [(2, 3, *cells), (2, 4, *cells), (2, 1, *cells)]
        assert level.distances.min() > 0


def test_distances_grow_with_the_stride_of_their_level():
    network = build_detector("ce_resnet_small", num_classes=1, norm="bn", channels=16)
    with torch.no_grad():
        network.box_output.weight.zero_()
        outputs = network.eval()(torch.randn(1, 3, 64, 64))
    expected = math.log1p(math.exp(3.0))
    for level, stride in zip(outputs, STRIDES, strict=True):
        torch.testing.assert_close(level.distances, torch.full_like(level.distances, expected * stride))


def test_points_are_the_middles_of_cells():
    assert POINTS[0][:2].tolist() == [[4, 4], [12, 4]] and POINTS[0][8].tolist() == [4, 12]
    assert POINTS[2].tolist() == [[16, 16], [48, 16], [16, 48], [48, 48]]


def test_an_object_goes_to_cells_about_its_centre_on_the_level_of_its_size():
    # 24 x 24 about (28, 28): on the finest level the points 20, 28, 36 lie within 12 pixels of it, along both axes.
    targets = assigned(([16.0, 16.0, 40.0, 40.0], 1))
    positive = (targets.labels == 1).nonzero().flatten()
    expected = [row * 8 + column for row in (2, 3, 4) for column in (2, 3, 4)]
    assert positive.tolist() == expected and (targets.labels == BACKGROUND).sum() == 84 - 9
    assert targets.distances[expected[0]].tolist() == [4, 4, 20, 20]
    assert targets.distances[expected[4]].tolist() == [12, 12, 12, 12]


def test_centre_sampling_leaves_out_the_box_sides():
    # 60 x 60: the points within 12 pixels of the centre only, although all within the box are near enough in size.
    targets = assigned(([2.0, 2.0, 62.0, 62.0], 0))
    finest = targets.labels[:64].view(8, 8)
    assert (finest == 0).sum() == 4 and (finest[3:5, 3:5] == 0).all()


def test_larger_objects_go_to_coarser_levels():
    # 70 to 100 pixels from every point: beyond the finest level's 64, within the next one's 128.
    targets = assigned(([-50.0, -50.0, 114.0, 114.0], 0))
    assert (targets.labels[:64] == BACKGROUND).all() and (targets.labels[80:] == BACKGROUND).all()
    assert (targets.labels[64:80] == 0).sum() == 4
    huge = assigned(([-200.0, -200.0, 264.0, 264.0], 0))
    assert (huge.labels[:80] == BACKGROUND).all() and (huge.labels[80:] == 0).all()


def test_where_objects_overlap_the_smaller_one_wins():
    targets = assigned(([0.0, 0.0, 60.0, 60.0], 0), ([20.0, 20.0, 36.0, 36.0], 1))
    assert targets.labels[3 * 8 + 3] == 1
    assert set(targets.labels.tolist()) == {BACKGROUND, 0, 1}


def test_a_picture_without_objects_is_all_background():
    assert (assigned().labels == BACKGROUND).all() and len(assigned().labels) == 84


def test_centerness_by_hand():
    found = centerness(torch.tensor([[10.0, 10, 10, 10], [5, 10, 20, 10], [5, 2, 20, 8]]))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.5, 0.25]))


def test_generalised_iou_by_hand():
    unit = torch.ones(1, 4)
    assert generalised_iou(unit, unit).item() == 1
    # 2x2 within 4x4: IoU 1/4, the hull is the larger box.
    assert generalised_iou(unit, 2 * unit).item() == pytest.approx(0.25)
    # 4 wide by 2 high and 2 wide by 4 high: intersection 4, union 12, hull 16.
    wide, high = torch.tensor([[2.0, 1, 2, 1]]), torch.tensor([[1.0, 2, 1, 2]])
    assert generalised_iou(wide, high).item() == pytest.approx(4 / 12 - 4 / 16)


def perfect(targets: Targets, classes: int = 2) -> list[LevelOutput]:
    """Heads that say what the targets ask for, as surely as they can."""
    logits = torch.full((84, classes), -30.0)
    found = targets.labels != BACKGROUND
    logits[found, targets.labels[found]] = 30.0
    distances = targets.distances.where(found[:, None], torch.ones(()))
    central = torch.logit(centerness(distances).clamp(1e-6, 1 - 1e-6))[:, None]
    levels = [part.split([64, 16, 4]) for part in (logits, distances, central)]
    return [
        LevelOutput(*(part.T.reshape(1, -1, *size) for part in parts))
        for size, parts in zip(SIZES, zip(*levels, strict=True), strict=True)
    ]


def test_losses_vanish_only_for_what_is_right():
    targets = assigned(([16.0, 16.0, 40.0, 40.0], 1))
    right = detection_losses(perfect(targets), [targets])
    assert right.classes < 1e-4 and right.boxes < 1e-5
    shifted = [level._replace(distances=level.distances * 1.5) for level in perfect(targets)]
    assert detection_losses(shifted, [targets]).boxes > 0.3
    flipped = [level._replace(class_logits=level.class_logits.flip(1)) for level in perfect(targets)]
    assert detection_losses(flipped, [targets]).classes > 10
    # The least cross-entropy of a centre-ness between 0 and 1 is its entropy.
    weights = centerness(targets.distances[targets.labels == 1])
    entropy = torch.distributions.Bernoulli(weights.clamp(1e-6, 1 - 1e-6)).entropy().mean()
    torch.testing.assert_close(right.centerness, entropy, atol=1e-4, rtol=1e-4)


def test_losses_of_an_empty_picture_are_finite_and_pull_scores_down():
    outputs = [LevelOutput(*(part.requires_grad_() for part in level)) for level in empty_outputs()]
    losses = detection_losses(outputs, [assigned()])
    losses.total().backward()
    assert losses.boxes == 0 and losses.centerness == 0 and torch.isfinite(losses.classes)
    assert all((level.class_logits.grad >= 0).all() for level in outputs)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_decoding_by_hand():
    outputs = empty_outputs()
    # Cell (1, 2) of stride 8 looks at (20, 12).
    outputs[0].class_logits[0, 1, 1, 2] = logit(0.81)
    outputs[0].centerness[0, 0, 1, 2] = logit(0.49)
    outputs[0].distances[0, :, 1, 2] = torch.tensor([5.0, 6, 7, 8])
    # Cell (1, 1) of stride 32 looks at (48, 48); its box reaches over the input's sides.
    outputs[2].class_logits[0, 0, 1, 1] = logit(0.9)
    outputs[2].centerness[0, 0, 1, 1] = logit(0.9)
    outputs[2].distances[0, :, 1, 1] = torch.tensor([60.0, 10, 30, 40])
    (found,) = decode(outputs)
    torch.testing.assert_close(found.boxes, torch.tensor([[0.0, 38, 64, 64], [15, 6, 27, 20]]))
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.63]))
    assert found.labels.tolist() == [0, 1]
    assert decode(outputs, DecodeOptions(threshold=0.7))[0].labels.tolist() == [0]
    assert decode(outputs, DecodeOptions(max_detections=1))[0].labels.tolist() == [0]


def test_suppression_is_for_each_label_by_itself():
    outputs = empty_outputs()
    # Three cells of one row that all say the box 0, 0, 32, 16; two of them with label 0.
    for column, label, score in ((0, 0, 0.6), (1, 0, 0.8), (2, 1, 0.7)):
        x = (column + 0.5) * 8
        outputs[0].class_logits[0, label, 0, column] = logit(score)
        outputs[0].centerness[0, 0, 0, column] = logit(score)
        outputs[0].distances[0, :, 0, column] = torch.tensor([x, 4, 32 - x, 12])
    (found,) = decode(outputs)
    torch.testing.assert_close(found.scores, torch.tensor([0.8, 0.7]))
    assert found.labels.tolist() == [0, 1]
    assert len(decode(outputs, DecodeOptions(iou=1.0))[0].scores) == 3
    assert len(decode(outputs, DecodeOptions(candidates=2, iou=1.0))[0].scores) == 2
