"""Channel Equilibrium (CE) networks in PyTorch: the block, networks built with it, training recipes and ONNX export."""

from cenet.block import CEBlock
from cenet.networks import build_network, network_names

__all__ = ["CEBlock", "build_network", "network_names"]
__version__ = "0.1.0"
