"""Channel Equilibrium (CE) networks in PyTorch: the block, networks built with it, training recipes and ONNX export."""

import os

# ONNX Runtime's wheels for Linux report to their maker what runs, unless this is set before they are imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from cenet.block import CEBlock
from cenet.networks import build_network, network_names

__all__ = ["CEBlock", "build_network", "network_names"]
__version__ = "0.1.0"
