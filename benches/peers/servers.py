"""The servers that are compared, and how each is started."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from children import Child

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
CACHE = CHECKOUT / ".cache/peers"
OURS = "cenet-serve"
PEERS = ("mosec", "litserve", "mlserver", "bentoml")
# a peer with `:N` takes batches of up to N; those named twice are better now this way, now that
DEFAULT = (OURS, "mosec", "mosec:4", "litserve", "litserve:4", "mlserver", "bentoml")


class Server(NamedTuple):
    """One row of the table."""

    label: str
    version: str
    command: list[str | Path]
    environment: dict[str, str]

    def start(self, port: int, folder: Path) -> Child:
        """Has it listen at `port` of the loopback; `folder` takes what it writes."""
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(part).replace("{port}", str(port)) for part in self.command]
        return Child(command, self.environment | {"PEER_PORT": str(port)}, folder, folder / "log.txt")


def server(name: str, model: Path, workers: int, binary: Path) -> Server:
    """Of a name as in `DEFAULT`, with a version's directory.

    Raises:
        LookupError: if there is none of that name, or it isn't installed.
    """
    # options of whoever measures are none of the servers'
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CENET_", "PEER_", "MOSEC_"))}
    if name == OURS:
        return _ours(model, binary, environment)
    peer, _, batch = name.partition(":")
    python = CACHE / peer / "bin/python"
    if peer not in PEERS or not python.exists():
        raise LookupError(f"{name} is no server, or not installed; make bench-peers installs {', '.join(PEERS)}")
    environment |= {"PYTHONPATH": str(HERE / "shared"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"PEER_MODEL": str(model), "PEER_WORKERS": str(workers), "PEER_BATCH": batch or "1"}
    label = f"{peer}, batches of {batch}" if batch else peer
    return Server(label, _version(python, peer), [python, HERE / peer / "serve.py"], environment)


def _ours(model: Path, binary: Path, environment: dict[str, str]) -> Server:
    if not binary.exists():
        raise LookupError(f"{binary} is not there: make build")
    repository = CACHE / "repositories" / model.parent.name
    shutil.rmtree(repository, ignore_errors=True)
    repository.mkdir(parents=True)
    (repository / model.parent.name).symlink_to(model.parent, target_is_directory=True)
    command = [binary, "serve", "--model-repository", repository, "--plan-cache", CACHE / "plans"]
    command += ["--http-addr", "127.0.0.1:{port}", "--grpc-addr", "127.0.0.1:0"]
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()
    runtime = environment.get("ORT_DYLIB_PATH", str(CHECKOUT / "runtime/libonnxruntime.so"))
    return Server(OURS, told[-1], command, environment | {"ORT_DYLIB_PATH": runtime})


def _version(python: Path, package: str) -> str:
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
