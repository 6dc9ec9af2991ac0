"""The right answers: those of a quiet server, asked picture by picture before anything else happens."""

from typing import Any, NamedTuple

from tally import WrongAnswerError

# Batches of other sizes add up in another order.
SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE_PIXELS = 0.5
TOP_K = 5
# asked for in quiet, so that labels whose scores nearly tie may stand in either order
TOP_K_QUIET = 12
THRESHOLD = 0.5
THRESHOLD_QUIET = 0.45


class Box(NamedTuple):
    """A thing found."""

    label: str
    score: float
    edges: tuple[float, ...]


Labels = list[tuple[str, float]]


def labels_of(answer: dict[str, Any]) -> Labels:
    """Of one picture's answer over HTTP."""
    return [(one["label"], one["score"]) for one in answer["predictions"]]


def boxes_of(answer: dict[str, Any]) -> list[Box]:
    return [Box(one["label"], one["score"], tuple(one["box"])) for one in answer["detections"]]


def check_labels(got: Labels, quiet: Labels) -> None:
    """The scores are those of the quiet run rank by rank, and each label has its own."""
    if len(got) != min(TOP_K, len(quiet)):
        raise WrongAnswerError(f"{len(got)} labels, {min(TOP_K, len(quiet))} are due")
    known = dict(quiet)
    for (label, score), (_, due) in zip(got, quiet, strict=False):
        if abs(score - due) > SCORE_TOLERANCE or abs(known.get(label, quiet[-1][1]) - score) > SCORE_TOLERANCE:
            raise WrongAnswerError(f"{got} instead of {quiet[: len(got)]}")


def check_boxes(got: list[Box], quiet: list[Box]) -> None:
    """Each box is one of the quiet run's, and of those that pass the threshold clearly none is missing."""
    left = list(quiet)
    for box in got:
        match = next((known for known in left if same_box(box, known)), None)
        if match is None:
            raise WrongAnswerError(f"{box} is no box of the quiet run")
        left.remove(match)
    missing = [box for box in left if box.score > THRESHOLD + SCORE_TOLERANCE]
    if missing:
        raise WrongAnswerError(f"{missing} are missing")


def same_box(one: Box, other: Box) -> bool:
    near = all(abs(a - b) <= BOX_TOLERANCE_PIXELS for a, b in zip(one.edges, other.edges, strict=True))
    return near and one.label == other.label and abs(one.score - other.score) <= SCORE_TOLERANCE


class Truth:
    """Right answers by model and picture; of the changing model, those of each of its networks."""

    def __init__(self) -> None:
        self.labels: dict[tuple[str, str], list[Labels]] = {}
        self.boxes: dict[str, list[Box]] = {}

    def check_labels(self, model: str, picture: str, got: Labels) -> None:
        """Any of the model's answers is right.

        Raises:
            WrongAnswerError: None of them is like `got`.
        """
        reasons = []
        for quiet in self.labels[model, picture]:
            try:
                return check_labels(got, quiet)
            except WrongAnswerError as reason:
                reasons.append(str(reason))
        raise WrongAnswerError(f"{model} on {picture}: {'; or '.join(reasons)}")

    def check_boxes(self, picture: str, got: list[Box]) -> None:
        try:
            check_boxes(got, self.boxes[picture])
        except WrongAnswerError as reason:
            raise WrongAnswerError(f"detector on {picture}: {reason}") from None
