"""BentoML: workers that share a socket, each an event loop with a thread that classifies."""

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
from PIL.Image import Image

from settings import settings

SETTINGS = settings()


@bentoml.service(
    workers=SETTINGS.workers, threads=1, metrics={"enabled": False}, logging={"access": {"enabled": False}}
)
class Classify:
    """JPEG in, JSON out, one by one."""

    def __init__(self) -> None:
        # only workers need it, and what it takes of memory
        from classifier import Classifier

        self.classifier = Classifier(SETTINGS.model)

    @bentoml.api(route="/classify")
    def classify(self, image: Image, /) -> dict[str, Any]:
        """The picture is opened by BentoML, and decoded here."""
        return self.classifier.answers([self.classifier.preprocessing.tensor(image)])[0]


def main() -> None:
    """Serves until it is told to end."""
    os.environ["BENTOML_DO_NOT_TRACK"] = "true"
    command = [Path(sys.executable).parent / "bentoml", "serve", "serve:Classify"]
    command += ["--host", "127.0.0.1", "--port", str(SETTINGS.port), "--working-dir", Path(__file__).parent]
    os.execv(command[0], [str(part) for part in command])


if __name__ == "__main__":
    main()
