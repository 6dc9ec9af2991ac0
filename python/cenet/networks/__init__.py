"""CE networks and their plain batch-normalised twins, by name."""

from cenet.networks.efficientnet_lite import ce_efficientnet_lite0
from cenet.networks.mobilenet import ce_mobilenet_v2
from cenet.networks.registry import build_network, network_names
from cenet.networks.resnet import ce_resnet, ce_resnet18, ce_resnet50, ce_resnet101, ce_resnet_small

__all__ = [
    "build_network",
    "ce_efficientnet_lite0",
    "ce_mobilenet_v2",
    "ce_resnet",
    "ce_resnet18",
    "ce_resnet50",
    "ce_resnet101",
    "ce_resnet_small",
    "network_names",
]
