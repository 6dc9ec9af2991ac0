"""Nesterov SGD with a linear warm-up and a cosine decay, stepped once a batch."""

import math

from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

from cenet.training.recipe import Recipe


def build_optimiser(network: nn.Module, recipe: Recipe) -> SGD:
    """Weight decay for matrices and filters only: not for norms, biases, nor the scalar weights of CE blocks."""
    parameters = list(network.parameters())
    decayed = {"params": [p for p in parameters if p.dim() > 1], "weight_decay": recipe.weight_decay}
    others = {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0}
    return SGD([decayed, others], lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True)


def build_scheduler(optimiser: SGD, recipe: Recipe, steps_per_epoch: int) -> LambdaLR:
    total = recipe.epochs * steps_per_epoch
    warmup = min(recipe.warmup_epochs * steps_per_epoch, total - 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    return LambdaLR(optimiser, factor)
