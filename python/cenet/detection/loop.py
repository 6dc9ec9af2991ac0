"""One epoch of a detector's training."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cenet.detection.assignment import assign, cell_points
from cenet.detection.augment import augment
from cenet.detection.losses import Losses, detection_losses
from cenet.detection.network import STRIDES, LevelOutput
from cenet.detection.pictures import Sample
from cenet.detection.recipe import DetectionRecipe
from cenet.training.images import normalise
from cenet.training.run import Learner, autocast, batch_indices


def train_epoch(learner: Learner, samples: Sequence[Sample], recipe: DetectionRecipe, description: str) -> Losses:
    """Goes once through the pictures in random order; gives the mean losses.

    The last, incomplete batch is left out: batch statistics of a few pictures would disturb the running averages.

    Raises:
        FloatingPointError: if the loss is not finite.
    """
    learner.network.train()
    batches = batch_indices(len(samples), recipe.batch_size)
    sums = torch.zeros(3)
    for indices in tqdm(batches, desc=description, leave=False, mininterval=10):
        losses = _batch_losses(learner.network, [samples[i] for i in indices], recipe)
        if not torch.isfinite(losses.total()):
            raise FloatingPointError(f"the loss became {losses.total().item()} in {description}")
        learner.step(losses.total(), recipe.gradient_norm)
        sums += torch.stack(losses).detach()
    return Losses(*(sums / len(batches)))


def _batch_losses(network: nn.Module, samples: Sequence[Sample], recipe: DetectionRecipe) -> Losses:
    pixels, boxes, labels = augment(samples, recipe.size, recipe.augmentation)
    with autocast(recipe.precision):
        outputs = network(normalise(pixels))
    points = _points(outputs)
    targets = [assign(points, STRIDES, *objects) for objects in zip(boxes, labels, strict=True)]
    return detection_losses(outputs, targets)


def _points(outputs: Sequence[LevelOutput]) -> list[Tensor]:
    return cell_points([tuple(level.class_logits.shape[2:]) for level in outputs], STRIDES)
