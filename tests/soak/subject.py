"""What is soaked: a server, a process of its own, whose models are copies that reloads may change."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from serving import CHECKOUT, Server, serving

STEADY = "ce_resnet_caltech101"
LARGE = "ce_efficientnet_lite0"
DETECTOR = "ce_fcos_bccd"
# a detector whose queue holds but a few pictures: what bursts meet
CROWDED = "crowded"
QUEUE_LENGTH = 8
# its folder holds now one network, now the other
CHANGING = "changing"
VARIANTS = {"float": CHECKOUT / "tests/data/models/tiny_ce", "int8": CHECKOUT / "tests/data/quantized/tiny_ce_int8"}
# is unloaded, and loaded again
COMING = "coming"
# can't be loaded, ever
BROKEN = "broken"
# bodies of more are refused; less than the default, so that refusals cost the machine little
MAX_BODY_BYTES = 8 << 20
# longer than a burst takes on a machine that is busy with other things: who is in a hurry says so
REQUEST_TIMEOUT_MS = 240_000


class Repository:
    """The folder of the models under test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (STEADY, LARGE, DETECTOR):
            shutil.copytree(CHECKOUT / "models" / name, root / name)
        shutil.copytree(root / DETECTOR, root / CROWDED)
        with (root / CROWDED / "1/model.toml").open("a") as manifest:
            manifest.write(f"\n[batching]\nqueue_length = {QUEUE_LENGTH}\n")
        shutil.copytree(VARIANTS["float"], root / COMING)
        for name, folder in VARIANTS.items():
            shutil.copytree(folder, root / name)
        self.put("float")

    def put(self, variant: str) -> None:
        """Has the changing model be `variant`: a whole folder in another's place."""
        ready, old = self.root / ".ready", self.root / ".old"
        shutil.copytree(VARIANTS[variant], ready)
        if (self.root / CHANGING).exists():
            (self.root / CHANGING).rename(old)
        ready.rename(self.root / CHANGING)
        shutil.rmtree(old, ignore_errors=True)

    def break_one(self) -> None:
        """Puts a model there whose network ends in its middle."""
        folder = self.root / BROKEN
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(VARIANTS["float"], folder)
        network = folder / "1/model.onnx"
        network.write_bytes(network.read_bytes()[:100_000])


@contextlib.contextmanager
def subject(*options: str) -> Iterator[tuple[Server, Repository]]:
    """The server, with its models in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        repository = Repository(Path(folder))
        limits = ["--model-control", "explicit", "--max-body-bytes", str(MAX_BODY_BYTES)]
        limits += ["--request-timeout-ms", str(REQUEST_TIMEOUT_MS), "--default-model", f"{DETECTOR},{LARGE}"]
        with serving(repository.root, *limits, *options) as server:
            yield server, repository
