"""Writes what PyTorch and Pillow find in pictures of a test part: `python -m cenet.tools.reference_boxes`.

One line a picture: its name, then for each detection a field of the label's index, the score, and the box's left, top,
right and lower edge in pixels of the picture. The network is that of a model directory, its weights read back from
`model.onnx`; suppression is torchvision's. The server is tested against it.
"""

import argparse
import sys
from pathlib import Path

import torch

from cenet.detection.annotations import read_part
from cenet.detection.decode import DecodeOptions, Detections
from cenet.detection.evaluation import detect
from cenet.detection.pictures import load_for_evaluation
from cenet.export.restore import restore_directory


def line(name: str, found: Detections) -> str:
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    fields = (f"{label} {score:.5f} {' '.join(f'{edge:.2f}' for edge in box)}" for label, score, box in rows)
    return "\t".join([name, *fields])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model directory of a detector")
    parser.add_argument("--backbone", default="ce_resnet_small", help="what it is built on (default: %(default)s)")
    parser.add_argument("--data", type=Path, required=True, help="folder of a VOC data set, or of COCO files")
    parser.add_argument("--part", default="test", help="VOC image set, or COCO file relative to --data")
    parser.add_argument("--count", type=int, default=50, help="pictures, the part's first (default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=0.25, help="least score (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    pictures = read_part(options.data, options.part).pictures[: options.count]
    model = restore_directory(options.model, options.backbone)
    inputs = load_for_evaluation(pictures, model.size, model.fit, options.part)
    found = detect(model.network, inputs, 1, DecodeOptions(options.threshold))
    for picture, detections in zip(pictures, found, strict=True):
        sys.stdout.write(f"{line(picture.path.name, detections)}\n")


if __name__ == "__main__":
    main()
