"""Network builders by the name that `--arch` takes."""

from collections.abc import Callable

from torch import nn

from cenet.networks import efficientnet_lite, mobilenet, resnet

_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "ce_efficientnet_lite0": efficientnet_lite.ce_efficientnet_lite0,
    "ce_mobilenet_v2": mobilenet.ce_mobilenet_v2,
    "ce_resnet": resnet.ce_resnet,
    "ce_resnet18": resnet.ce_resnet18,
    "ce_resnet50": resnet.ce_resnet50,
    "ce_resnet101": resnet.ce_resnet101,
    "ce_resnet_small": resnet.ce_resnet_small,
}


def network_names() -> list[str]:
    """The names that `build_network` knows, sorted."""
    return sorted(_BUILDERS)


def build_network(name: str, **options) -> nn.Module:
    """Builds a network by name; `options` (such as `num_classes`, `norm="bn"`) go to its builder.

    Raises:
        ValueError: for a name that is not registered.
    """
    if name not in _BUILDERS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(network_names())}")
    return _BUILDERS[name](**options)
