"""Compares cenet-serve with other model servers, end to end: a JPEG by POST, the five best labels as JSON.

Each round starts every server in turn, waits for its first answer, drives it in closed loops, and ends it. The order
differs from round to round. Who doesn't answer, or has other best labels than cenet-serve, is left out, and the status
is then 1. Run it on a machine that does nothing else.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from asking import Load, agree, ask, first_answer_s, free_port, load
from report import Row, Turn, conditions, table
from servers import CACHE, CHECKOUT, DEFAULT, OURS, Server, server

SHIPPED = CHECKOUT / "models/ce_efficientnet_lite0/1"
BINARY = CHECKOUT / "target/release/cenet-serve"
PLAIN = CACHE / "models/efficientnet_lite0/1"
PHOTOS = Path(os.environ.get("CENET_TEST_DATA", CHECKOUT / "../shared/data")) / "caltech101"
FALLBACK = CHECKOUT / "docs/images/coffee.jpg"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take = parser.add_argument
    take("--plain", action="store_true", help="serve EfficientNet-Lite0 without CE instead of the shipped CE network")
    take("--model", type=Path, help="serve this version's directory instead")
    take("--servers", nargs="+", metavar="NAME", default=list(DEFAULT), help="NAME:N takes batches of N; %(default)s")
    take("--rounds", type=int, default=3, help="of all servers (default: %(default)s)")
    take("--seconds", type=float, default=10, help="of each closed loop (default: %(default)s)")
    take("--warm-up-seconds", type=float, default=2, help="before each (default: %(default)s)")
    take("--clients", type=int, default=8, help="of the larger loop; the other has one (default: %(default)s)")
    take("--workers", type=int, default=os.cpu_count(), help="of each peer, of one thread (default: a core each)")
    take("--photos", type=Path, help="a JPEG, or a folder of them (default: Caltech-101 in the test data)")
    take("--pictures", type=int, default=100, help="of these, evenly chosen (default: %(default)s)")
    take("--check", type=int, default=16, help="pictures whose best labels are compared (default: %(default)s)")
    take("--binary", type=Path, default=BINARY, help="of cenet-serve (default: the release build)")
    take("--report", type=Path, metavar="FILE", help="also write the table there, as Markdown")
    return parser.parse_args(arguments)


class Comparison:
    """All rounds of one call."""

    def __init__(self, asked: argparse.Namespace, servers: list[Server], folder: Path) -> None:
        self.asked, self.servers, self.folder = asked, servers, folder
        self.pictures = _pictures(asked, folder / "pictures")
        step = max(1, len(self.pictures) // asked.check)
        self.files = [file.read_bytes() for file in self.pictures[::step][: asked.check]]
        self.expected: list[dict[str, float]] = []
        self.left_out: list[str] = []
        self.turns: dict[str, list[Turn]] = {each.label: [] for each in servers}

    def run(self) -> list[Row]:
        """Every server in every round; cenet-serve first in the first, as the others are held against it."""
        for number in range(self.asked.rounds):
            shift = number % len(self.servers)
            for each in self.servers[shift:] + self.servers[:shift]:
                self.try_turn(each, f"round {number + 1} of {self.asked.rounds}, {each.label}")
        return [Row(each.label, each.version, self.turns[each.label]) for each in self.servers]

    def try_turn(self, each: Server, named: str) -> None:
        """A turn; a peer that fails is left out from then on."""
        try:
            turn = self.turn(each)
        except RuntimeError as error:
            if each.label == OURS:
                raise
            self.servers = [other for other in self.servers if other is not each]
            self.left_out.append(each.label)
            _tell(f"{named}: left out: {error}")
            return
        self.turns[each.label].append(turn)
        _tell(f"{named}: {_told(turn)}")

    def turn(self, each: Server) -> Turn:
        """Starts it, checks it, loads it, ends it."""
        port = free_port()
        child = each.start(port, self.folder / each.label.replace(" ", "_"))
        try:
            start_s = first_answer_s(child, port, self.files[0])
            self.check(each, port)
            many = self.load(port, self.asked.clients)
            memory_mb = child.memory_mb()
            return Turn(many, self.load(port, 1), memory_mb, start_s)
        finally:
            if not child.end():
                _tell(f"{each.label} didn't end when it was asked to; it was killed")

    def check(self, each: Server, port: int) -> None:
        """Raises RuntimeError if it says something else than cenet-serve, or nothing."""
        try:
            found = [ask(port, file) for file in self.files]
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{each.label}: {error}") from error
        self.expected = self.expected or found
        wrong = sum(not agree(mine, theirs) for mine, theirs in zip(found, self.expected, strict=True))
        if wrong:
            raise RuntimeError(f"its best label isn't {OURS}'s for {wrong} of {len(found)} pictures")

    def load(self, port: int, clients: int) -> Load:
        pictures, seconds = self.folder / "pictures", self.asked.seconds
        return load(self.asked.binary, port, pictures, clients, seconds, self.asked.warm_up_seconds)


def _pictures(asked: argparse.Namespace, folder: Path) -> list[Path]:
    """Links to them, in a folder of their own."""
    photos = asked.photos or (PHOTOS if PHOTOS.exists() else FALLBACK)
    found = sorted(photos.rglob("*.jpg")) if photos.is_dir() else [photos]
    step = max(1, len(found) // asked.pictures)
    folder.mkdir()
    links = []
    for number, file in enumerate(found[::step][: asked.pictures]):
        links.append(folder / f"{number:04}.jpg")
        links[-1].symlink_to(file.resolve())
    if not links:
        raise LookupError(f"no picture is in {photos}")
    return links


def _told(turn: Turn) -> str:
    rates = f"{turn.many.images_per_s:.1f} and {turn.one.images_per_s:.1f} images/s"
    return f"{rates}, {turn.memory_mb:.0f} MB, {turn.start_s:.2f} s to the first answer"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measures, and prints the table."""
    asked = options()
    # servers are ended then, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    model = (asked.model or (PLAIN if asked.plain else SHIPPED)).resolve()
    names = [OURS, *(name for name in asked.servers if name != OURS)]
    busy = os.getloadavg()[0]
    try:
        servers = [server(name, model, asked.workers, asked.binary.resolve()) for name in names]
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            comparison = Comparison(asked, servers, Path(folder))
            rows = comparison.run()
    except (LookupError, RuntimeError) as error:
        sys.exit(f"{error}")
    said = conditions(rows, model.parent.name, len(comparison.pictures), asked.seconds, len(comparison.files), busy)
    text = f"{said}\n\n{table(rows, asked.clients)}\n"
    print(text)
    if asked.report:
        asked.report.write_text(text)
    sys.exit(1 if comparison.left_out else 0)


if __name__ == "__main__":
    main()
