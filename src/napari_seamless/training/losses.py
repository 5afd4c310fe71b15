"""Dice and cross entropy, for one head or for all heads of a UNet++."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def deep_supervision_loss(heads: Mapping[int, Tensor], target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean over the heads of `dice_cross_entropy`: equal weights keep every head good enough to prune to.

    Parameters
    ----------
    heads : mapping of level to Tensor, shape (N, C, *spatial)
        Logits.
    target : Tensor, int64, shape (N, *spatial)
    weight : Tensor, float32, shape (N, *spatial)
    """
    losses = [dice_cross_entropy(logits, target, weight) for logits in heads.values()]
    return torch.stack(losses).mean()


def dice_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return cross entropy plus soft Dice loss, both weighted by pixel, in float32.

    Parameters
    ----------
    logits : Tensor, shape (N, C, *spatial)
    target : Tensor, int64, shape (N, *spatial)
        Class indices.
    weight : Tensor, float32, shape (N, *spatial)
        0 where a pixel must not count: its gradient is exactly zero.
    """
    logits = logits.float()
    log_probabilities = functional.log_softmax(logits, dim=1)
    entropy = functional.nll_loss(log_probabilities, target, reduction="none")
    total = weight.sum().clamp_min(1e-6)
    cross_entropy = (entropy * weight).sum() / total
    return cross_entropy + _soft_dice_loss(log_probabilities.exp(), target, weight)


def _soft_dice_loss(probabilities: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice, averaged over the classes but background, over the batch as a whole (Milletari 2016, 1606.04797)."""
    n_classes = probabilities.shape[1]
    one_hot = torch.stack([target == index for index in range(1, n_classes)], dim=1).to(probabilities.dtype)
    weighted = probabilities[:, 1:] * weight[:, None]
    one_hot = one_hot * weight[:, None]
    axes = [0, *range(2, probabilities.ndim)]
    shared = (weighted * one_hot).sum(axes)
    sizes = weighted.sum(axes) + one_hot.sum(axes)
    # One pixel on both sides keeps a class that is absent from target and prediction at a loss of zero.
    return (1.0 - (2.0 * shared + 1.0) / (sizes + 1.0)).mean()
