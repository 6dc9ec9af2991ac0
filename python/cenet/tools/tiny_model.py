"""Writes a model directory of a few hundred kilobytes: `python -m cenet.tools.tiny_model DIR [--quantize]`.

The network is a narrow CE-ResNet for 64x64 pixels and three labels, with seeded random weights and the statistics of a
few random batches: good for tests of everything but accuracy. The golden pair comes from a generated picture.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from cenet.block import CEBlock
from cenet.export import (
    Calibration,
    ExportReport,
    GoldenSource,
    Preprocess,
    QuantizeReport,
    export_model,
    quantize_directory,
)
from cenet.networks import ce_resnet
from cenet.networks.resnet import ResNet

LABELS = ("circle", "square", "triangle")
SIZE = 64
_BATCHES = 40


def tiny_network(seed: int = 0) -> ResNet:
    """A CE-ResNet of four bottlenecks, with running statistics, in evaluation mode.

    Its CE blocks have 4, 16, 32 and 64 channels, in groups of 4 (the stem) and 16. Their scalar weights and layer
    normalisations are random too: left as initialised, a confusion of them would not show in the outputs.
    """
    torch.manual_seed(seed)
    network = ce_resnet("bottleneck", (1, 1, 1, 1), num_classes=len(LABELS), width=4, stem="3x3").train()
    randomise_blocks(network)
    with torch.no_grad():
        for _ in range(_BATCHES):
            network(torch.randn(8, 3, SIZE, SIZE))
    return network.eval()


@torch.no_grad()
def randomise_blocks(network: nn.Module) -> None:
    """Draws what CE blocks are initialised to constants with."""
    for module in network.modules():
        if isinstance(module, CEBlock):
            module.x_weight.normal_()
            module.AR.fc[1].weight.normal_(1, 0.2)
            module.AR.fc[1].bias.normal_(0, 0.2)


def picture(seed: int = 0) -> Image.Image:
    """A colour gradient with noise, 96 by 80 pixels."""
    rows, columns = np.mgrid[0:80, 0:96]
    gradient = np.stack([rows * 3, columns * 2, 255 - rows - columns], axis=-1)
    noise = np.random.default_rng(seed).integers(-20, 21, gradient.shape)
    return Image.fromarray(np.clip(gradient + noise, 0, 255).astype(np.uint8))


def export_tiny_model(output: Path, force: bool = False) -> ExportReport:
    """Exports the network to the model directory `output`."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "golden.png"
        picture().save(image)
        return export_model(
            tiny_network(),
            output,
            labels=LABELS,
            preprocess=Preprocess(size=(SIZE, SIZE), resize_to=72),
            golden=GoldenSource(image=image),
            description="A tiny CE-ResNet with random weights, for tests.",
            license="CC0-1.0",
            force=force,
        )


def quantize_tiny_model(source: Path, output: Path, force: bool = False) -> QuantizeReport:
    """Writes the model directory `source` anew in 8-bit integers, calibrated on generated pictures."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(8):
            picture(seed).save(Path(folder) / f"{seed}.png")
        return quantize_directory(source, output, Calibration(Path(folder)), force=force)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cenet.tools.tiny_model", description="Writes a tiny model.")
    parser.add_argument("output", type=Path, help="model directory to write")
    parser.add_argument("--force", action="store_true", help="replace it if it exists")
    parser.add_argument("--quantize", action="store_true", help="in 8-bit integers")
    options = parser.parse_args(arguments)
    if options.quantize:
        with tempfile.TemporaryDirectory() as folder:
            export_tiny_model(Path(folder) / "1")
            print(quantize_tiny_model(Path(folder) / "1", options.output, options.force))
        return 0
    report = export_tiny_model(options.output, options.force)
    print(f"{report.output}: {report.ce_nodes} CE nodes, {report.model_bytes} bytes")
    print("\n".join(map(str, report.differences)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
