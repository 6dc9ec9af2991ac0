"""Optimisers, and a rate with a linear warm-up and a cosine decay, stepped once a batch."""

import math
from typing import Any, Protocol

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cenet.training.recipe import Recipe


class Schedule(Protocol):
    """What a recipe says about the rate."""

    epochs: int
    warmup_epochs: int


def build_optimiser(network: nn.Module, recipe: Recipe) -> SGD:
    """Nesterov SGD."""
    groups = _parameter_groups(network, recipe.weight_decay)
    return SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True)


def build_adamw(network: nn.Module, learning_rate: float, weight_decay: float) -> AdamW:
    return AdamW(_parameter_groups(network, weight_decay), lr=learning_rate)


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and filters only: not for norms, biases, nor the scalar weights of CE blocks."""
    parameters = list(network.parameters())
    decayed = {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay}
    others = {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0}
    return [decayed, others]


def build_scheduler(optimiser: Optimizer, recipe: Schedule, steps_per_epoch: int) -> LambdaLR:
    total = recipe.epochs * steps_per_epoch
    warmup = min(recipe.warmup_epochs * steps_per_epoch, total - 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    return LambdaLR(optimiser, factor)
