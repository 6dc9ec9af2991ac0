"""What all traffic shares."""

import random
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc

from expected import Truth
from serving import CHECKOUT, Server
from subject import CHANGING, COMING, LARGE, STEADY, Repository
from tally import Tally
from vision import Services

FIXTURES = CHECKOUT / ".cache/fixtures"
# takes as long to decode as a hundred others
HUGE = "jpeg_12mp.jpg"


def read_pictures() -> dict[str, bytes]:
    """Drawn pictures of every format, by name: `make fixtures`."""
    formats = {".jpg", ".png", ".webp", ".gif", ".bmp", ".tif"}
    files = sorted(path for path in FIXTURES.iterdir() if path.suffix in formats and path.name != HUGE)
    return {path.name: path.read_bytes() for path in [*files, Path(CHECKOUT / "docs/images/smear.jpg")]}


@dataclass
class Presence:
    """Whether a model is served, as far as is known; a change counts where it begins and where it has ended."""

    there: bool = True
    changes: int = 0

    def certain_since(self, changes: int) -> bool:
        return changes == self.changes and changes % 2 == 0


@dataclass
class World:
    """The server, the ways to it, and what is known of it."""

    server: Server
    repository: Repository
    session: aiohttp.ClientSession
    services: Services
    channel: grpc.aio.Channel
    random: random.Random
    pictures: dict[str, bytes] = field(default_factory=read_pictures)
    refused: dict[str, bytes] = field(default_factory=dict)
    huge: bytes = field(default_factory=(FIXTURES / HUGE).read_bytes)
    truth: Truth = field(default_factory=Truth)
    tally: Tally = field(default_factory=Tally)
    coming: Presence = field(default_factory=Presence)

    @property
    def url(self) -> str:
        return self.server.url

    def picture(self) -> tuple[str, bytes]:
        return self.random.choice(list(self.pictures.items()))

    def some_pictures(self, most: int) -> list[tuple[str, bytes]]:
        return [self.picture() for _ in range(self.random.randint(2, most))]

    def classifier(self) -> str:
        return self.random.choices([STEADY, LARGE, CHANGING, COMING], [7, 1, 2, 1])[0]
