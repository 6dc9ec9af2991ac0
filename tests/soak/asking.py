"""Asks over HTTP as a client of good will does, and looks at what comes back."""

import json
from typing import Any

import aiohttp

from expected import THRESHOLD, TOP_K, boxes_of, labels_of
from subject import COMING, DETECTOR
from tally import WrongAnswerError
from world import World


def classify_path(model: str, top_k: int = TOP_K) -> str:
    return f"/classify?model={model}&top_k={top_k}"


def detect_path(model: str, threshold: float = THRESHOLD) -> str:
    return f"/detect?model={model}&threshold={threshold}"


DETECT = detect_path(DETECTOR)


class NotThereError(Exception):
    """The request was refused, and rightly so: its model may have been away."""


class Exchange:
    """One request to a model that may come and go: knows what it may be told."""

    def __init__(self, world: World, model: str) -> None:
        self._coming = world.coming if model == COMING else None
        self._changes = world.coming.changes

    def refused(self, code: str | None, detail: str) -> Exception:
        if code == "model_not_found" and self._coming and not self._certain(there=True):
            return NotThereError()
        return WrongAnswerError(f"{code}: {detail[:300]}", code)

    def answered(self) -> None:
        """A model that is known not to be there can't answer."""
        if self._certain(there=False):
            raise WrongAnswerError("a model answered that was unloaded")

    def _certain(self, there: bool) -> bool:
        coming = self._coming
        return coming is not None and coming.certain_since(self._changes) and coming.there is there


async def ask(
    world: World, path: str, body: Any, model: str = "", session: aiohttp.ClientSession | None = None, **headers: str
) -> Any:
    """The answer's JSON.

    Raises:
        NotThereError: The model may have been away.
        WrongAnswerError: Another status than 200.
    """
    exchange = Exchange(world, model)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (session or world.session).post(world.url + path, data=body, headers=named) as response:
        text = await response.text()
        if response.status != 200:
            raise exchange.refused(code_of(text), f"status {response.status}: {text}")
    exchange.answered()
    return json.loads(text)


def code_of(text: str | bytes) -> str | None:
    """The stable code in an error's body."""
    try:
        return json.loads(text).get("code")
    except ValueError:
        return None


def check_classified(world: World, model: str, name: str, answer: dict[str, Any]) -> None:
    if answer["model"] != model:
        raise WrongAnswerError(f"{answer['model']} answered for {model}")
    world.truth.check_labels(model, name, labels_of(answer))


def check_detected(world: World, name: str, answer: dict[str, Any]) -> None:
    world.truth.check_boxes(name, boxes_of(answer))
