"""One epoch of training, and the evaluation of a network."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from cenet.training.augment import augment, mix_up
from cenet.training.images import normalise
from cenet.training.recipe import Recipe
from cenet.training.run import Learner, autocast, batch_indices


@dataclass(frozen=True)
class Scores:
    """Mean cross-entropy, share of right answers, and the mean over classes of that share."""

    loss: float
    top1: float
    balanced: float


def train_epoch(
    learner: Learner, pictures: Sequence[Tensor], labels: Tensor, recipe: Recipe, description: str
) -> float:
    """Goes once through the pictures in random order; gives the mean loss.

    The last, incomplete batch is left out: batch statistics of a few pictures would disturb the running averages.

    Raises:
        FloatingPointError: if the loss is not finite.
    """
    learner.network.train()
    batches = batch_indices(len(pictures), recipe.batch_size)
    total = 0.0
    for indices in tqdm(batches, desc=description, leave=False, mininterval=10):
        crops = augment([pictures[i] for i in indices], recipe.image_size, recipe.augmentation)
        targets = F.one_hot(labels[indices], int(labels.max()) + 1).float()
        inputs, targets = mix_up(normalise(crops), targets, recipe.augmentation.mixup_alpha)
        with autocast(recipe.precision):
            logits = learner.network(inputs)
        loss = F.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
        learner.step(loss)
        total += loss.item()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss.item()} in {description}")
    return total / len(batches)


@torch.inference_mode()
def evaluate(network: nn.Module, pixels: Tensor, labels: Tensor, batch_size: int) -> Scores:
    """Scores on uint8 [N, 3, H, W], in float32, as a server computes it."""
    network.eval()
    logits = torch.cat([network(normalise(batch)) for batch in pixels.split(batch_size)])
    return score(logits, labels)


def score(logits: Tensor, labels: Tensor) -> Scores:
    """Logits [N, K] against labels [N]; classes without a picture don't count in the balanced accuracy."""
    right = (logits.argmax(1) == labels).double()
    counts = torch.bincount(labels, minlength=logits.shape[1])
    hits = torch.bincount(labels, weights=right, minlength=logits.shape[1])
    present = counts > 0
    recall = hits[present] / counts[present]
    return Scores(F.cross_entropy(logits, labels).item(), right.mean().item(), recall.mean().item())
