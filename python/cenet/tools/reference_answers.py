"""Writes what PyTorch and Pillow answer for pictures of a run's test part: `python -m cenet.tools.reference_answers`.

One line a picture: its path below the data folder, the index of the best label, and by how much its logit leads the
next. The server is tested against it.
"""

import argparse
import csv
import sys
from pathlib import Path

import torch

from cenet.checkpoint import load_state, read_checkpoint
from cenet.export import Preprocess
from cenet.networks import build_network


def test_pictures(split: Path, count: int) -> list[str]:
    """`count` pictures of the test part, spread evenly over its list (and so over the classes)."""
    with split.open(newline="") as lines:
        pictures = [path for part, path in csv.reader(lines, delimiter="\t") if part == "test"]
    if len(pictures) < count:
        raise ValueError(f"{split} lists {len(pictures)} test pictures, {count} are asked for")
    return [pictures[index * len(pictures) // count] for index in range(count)]


@torch.no_grad()
def answers(checkpoint_file: Path, data: Path, pictures: list[str]) -> list[tuple[str, int, float]]:
    """Path, index and lead of the best logit of each picture."""
    checkpoint = read_checkpoint(checkpoint_file)
    network = build_network(checkpoint.arch, **checkpoint.arch_options)
    load_state(network, checkpoint.state)
    network.eval()
    preprocess = Preprocess.from_checkpoint(checkpoint.preprocessing)
    rows = []
    for picture in pictures:
        logits = network(torch.from_numpy(preprocess.load(data / picture)))[0]
        (best, second), (index, _) = logits.topk(2)
        rows.append((picture, int(index), float(best - second)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a cenet-train checkpoint")
    parser.add_argument("--split", type=Path, required=True, help="split.tsv of its run")
    parser.add_argument("--data", type=Path, required=True, help="the folder with one folder of pictures per class")
    parser.add_argument("--count", type=int, default=200, help="pictures (default: %(default)s)")
    options = parser.parse_args()
    writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
    for path, index, lead in answers(options.checkpoint, options.data, test_pictures(options.split, options.count)):
        writer.writerow((path, index, f"{lead:.6f}"))


if __name__ == "__main__":
    main()
