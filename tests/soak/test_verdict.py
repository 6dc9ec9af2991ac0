"""That a run which should fail does."""

import dataclasses
import random

import pytest

from expected import Box, check_boxes, check_labels
from tally import WrongAnswerError
from verdict import left_over, trends
from watch import Sample

QUIET = [("cup", 0.6), ("mug", 0.2), ("bowl", 0.1), ("pan", 0.05), ("pot", 0.03), ("jar", 0.02)]
CELL = Box("RBC", 0.9, (1.0, 2.0, 30.0, 40.0))


def sample(time_s: float, **others: float) -> Sample:
    zeros = {name: 0 for name in Sample.columns()}
    return Sample(**zeros | {"time_s": time_s} | others)


def hour(mb_per_ten_minutes: float) -> list[Sample]:
    """Memory of 250 MB that goes up and down by 5, with a burst of 40 more every 90 seconds."""
    noise = random.Random(7)
    samples = []
    for time_s in range(0, 3600, 5):
        mb = 250 + mb_per_ten_minutes * time_s / 600 + noise.uniform(-5, 5) + (40 if time_s % 90 == 0 else 0)
        samples.append(sample(time_s, rss_kib=mb * 1e6 / 1024))
    return samples


@pytest.mark.parametrize("grows", [0.0, 0.4, 1.6, 5.0])
def test_growth_is_seen_through_the_noise(grows: float):
    memory = trends(hour(grows), warm_up_s=600)[0]
    assert memory.per_ten_minutes == pytest.approx(grows, abs=0.5)
    assert memory.fine == (grows < 1)


def test_ten_minutes_tell_nothing():
    assert trends(hour(5.0)[:120], warm_up_s=0) == []


def test_a_descriptor_a_minute_is_too_many():
    samples = [sample(time_s, descriptors=50 + time_s // 60) for time_s in range(0, 1800, 5)]
    assert [trend.limit.column for trend in trends(samples, 300) if not trend.fine] == ["descriptors"]


def test_what_is_held_at_rest():
    before = sample(0, descriptors=40, threads=20)
    assert left_over(before, dataclasses.replace(before, threads=21, rss_kib=10)) == []
    assert left_over(before, dataclasses.replace(before, descriptors=41)) == ["1 more descriptors at rest"]
    assert left_over(before, dataclasses.replace(before, images_in_flight=1)) == ["1 more images_in_flight at rest"]


def test_labels_are_right_within_the_tolerance_alone():
    check_labels(QUIET[:5], QUIET)
    check_labels([(label, score + 5e-4) for label, score in QUIET[:5]], QUIET)
    tied = [("cup", 0.4), ("mug", 0.4)]
    check_labels(tied[::-1], tied)
    for wrong in (
        QUIET[:4],
        [("mug", 0.6), *QUIET[1:5]],
        [("cup", 0.61), *QUIET[1:5]],
        [*QUIET[:4], ("lid", 0.03)],
    ):
        with pytest.raises(WrongAnswerError):
            check_labels(wrong, QUIET)


def test_boxes_are_right_within_the_tolerance_alone():
    faint = Box("WBC", 0.5003, (50.0, 50.0, 60.0, 60.0))
    check_boxes([CELL], [CELL, faint])
    check_boxes([faint, CELL], [CELL, faint])
    moved = CELL._replace(edges=(2.0, 2.0, 30.0, 40.0))
    for wrong in ([], [faint], [moved], [CELL, CELL], [CELL._replace(label="WBC")], [CELL._replace(score=0.8)]):
        with pytest.raises(WrongAnswerError):
            check_boxes(wrong, [CELL, faint])
