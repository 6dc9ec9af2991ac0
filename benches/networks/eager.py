"""Runs CE-ResNet-50 in PyTorch as it stands: for each number of pictures on standard input, a line of milliseconds.

    eager.py THREADS
"""

import sys
import time

import torch

from cenet.networks import build_network

SIDE = 224


def main(threads: int) -> None:
    torch.set_num_threads(threads)
    network = build_network("ce_resnet50").eval()
    with torch.inference_mode():
        for line in sys.stdin:
            pictures = torch.randn(int(line), 3, SIDE, SIDE)
            started = time.perf_counter()
            network(pictures)
            print((time.perf_counter() - started) * 1e3, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
