"""Losses for one head, and their sum over the heads of a UNet++. Pixels of weight 0 have a gradient of exactly zero.

=====================  ===============================================================================================
dice_cross_entropy     cross entropy + Dice
cross_entropy          of the softmax, weighted by pixel and by class (Ronneberger 2015, arXiv 1505.04597)
dice                   1 - soft Dice, mean over the classes but background (Milletari 2016, arXiv 1606.04797)
bce_dice               0.5 · binary cross entropy + (1 - soft Dice) (Zhou 2018, arXiv 1807.10165)
=====================  ===============================================================================================

A network of one output channel has the sigmoid of it as the foreground's probability: cross entropy is then binary, and
Dice that of the foreground.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from napari_seamless.training.options import DeepSupervision, Loss

_SMALLEST_TOTAL = 1e-6

DiceOver = Literal["batch", "patch"]


def deep_supervision_loss(
    heads: Mapping[int, Tensor],
    target: Tensor,
    weight: Tensor,
    *,
    loss: Loss = "dice_cross_entropy",
    class_weights: Tensor | None = None,
    auxiliary: float = 1.0,
) -> Tensor:
    """Return the weighted mean of the heads' losses: the deepest head weighs 1, every other one `auxiliary`.

    A mean and no sum, so that the learning rate means the same whatever the weights are.

    Parameters
    ----------
    heads : mapping of level to Tensor, shape (N, C, *spatial)
        Logits.
    target : Tensor, int64, shape (N, *spatial)
    weight : Tensor, float32, shape (N, *spatial)
    loss, class_weights
        See `head_loss`.
    auxiliary : float
        See `auxiliary_weight`. At 0 the other heads are not looked at.
    """
    deepest = max(heads)
    shares = {level: 1.0 if level == deepest else auxiliary for level in heads}
    parts = [
        share * head_loss(heads[level], target, weight, loss=loss, class_weights=class_weights)
        for level, share in shares.items()
        if share > 0
    ]
    return torch.stack(parts).sum() / sum(shares.values())


def auxiliary_weight(scheme: DeepSupervision, progress: float, n_epochs: int) -> float:
    """Return how much a shallower head counts beside the deepest one, α_t in L = L_main + α_t · Σ L_aux.

    Parameters
    ----------
    scheme : {"equal", "ramp", "compounding"}
        Wang et al. 2015 (arXiv 1505.02496) let α decay by α_t ← α_t · (1 - t/N) after epoch t of N. "compounding" is
        that rule as it is printed: α_t = α_0 · Π_{s ≤ t} (1 - s/N), which is half of α_0 after 11 of 100 epochs.
        "ramp" is its usual reading, α_t = α_0 · (1 - t/N). Both begin with α_0 = 1. "equal" stays there: every head
        remains good enough to be pruned to, while one that is decayed away does not.
    progress : float
        Share of the budget that is used, t/N.
    n_epochs : int
        N.
    """
    progress = min(max(progress, 0.0), 1.0)
    if scheme == "equal":
        return 1.0
    if scheme == "ramp":
        return 1.0 - progress
    alpha = 1.0
    for epoch in range(1, int(progress * n_epochs) + 1):
        alpha *= 1.0 - epoch / n_epochs
    return alpha


def head_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    loss: Loss = "dice_cross_entropy",
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the loss of one head, in float32.

    Parameters
    ----------
    logits : Tensor, shape (N, C, *spatial)
        One channel: of the foreground; more: one for each class.
    target : Tensor, int64, shape (N, *spatial)
        Class indices; 0 or 1 for one channel.
    weight : Tensor, float32, shape (N, *spatial)
        0 where a pixel must not count: its gradient is exactly zero.
    loss : {"dice_cross_entropy", "cross_entropy", "dice", "bce_dice"}
        See the module.
    class_weights : Tensor, float32, shape (classes,), optional
        Factors on the pixels' weights in the cross entropy, by the pixels' true class.
    """
    logits = logits.float()
    if loss == "dice":
        return soft_dice_loss(logits, target, weight)
    if loss == "bce_dice":
        # Zhou 2018 takes the Dice of each image of the batch.
        return 0.5 * binary_cross_entropy(logits, target, weight, class_weights) + soft_dice_loss(
            logits, target, weight, over="patch"
        )
    entropy = cross_entropy(logits, target, weight, class_weights)
    return entropy if loss == "cross_entropy" else entropy + soft_dice_loss(logits, target, weight)


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return the weighted mean of -log p of the true class."""
    if logits.shape[1] == 1:
        return binary_cross_entropy(logits, target, weight, class_weights)
    entropy = functional.cross_entropy(logits, target, reduction="none")
    return _weighted_mean(entropy, target, weight, class_weights)


def binary_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return the weighted mean of -log p or -log(1 - p), averaged over the classes: each one against all others.

    With several channels p are the softmax's probabilities, since these are what prediction uses; with two classes the
    result is the cross entropy.
    """
    if logits.shape[1] == 1:
        truth = target[:, None].to(logits.dtype)
        entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")[:, 0]
    else:
        total = logits.logsumexp(1)
        parts = []
        for index in range(logits.shape[1]):
            others = torch.cat([logits[:, :index], logits[:, index + 1 :]], dim=1).logsumexp(1)
            parts.append(total - torch.where(target == index, logits[:, index], others))
        entropy = torch.stack(parts).mean(0)
    return _weighted_mean(entropy, target, weight, class_weights)


def soft_dice_loss(logits: Tensor, target: Tensor, weight: Tensor, *, over: DiceOver = "batch") -> Tensor:
    """Return 1 - Dice, averaged over the classes but background.

    Parameters
    ----------
    logits, target, weight
        See `head_loss`.
    over : {"batch", "patch"}
        Whether Dice is that of the batch as a whole, which few verified pixels need, or the mean over its patches.
    """
    probabilities = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, 1:]
    classes = range(1, probabilities.shape[1] + 1)
    one_hot = torch.stack([target == index for index in classes], dim=1).to(probabilities.dtype) * weight[:, None]
    weighted = probabilities * weight[:, None]
    axes = [*range(2, logits.ndim)] if over == "patch" else [0, *range(2, logits.ndim)]
    shared = (probabilities * one_hot).sum(axes)
    sizes = weighted.sum(axes) + one_hot.sum(axes)
    # One pixel on both sides keeps a class that is absent from target and prediction at a loss of zero.
    return (1.0 - (2.0 * shared + 1.0) / (sizes + 1.0)).mean()


def _weighted_mean(entropy: Tensor, target: Tensor, weight: Tensor, class_weights: Tensor | None) -> Tensor:
    if class_weights is not None:
        weight = weight * class_weights[target]
    return (entropy * weight).sum() / weight.sum().clamp_min(_SMALLEST_TOTAL)
