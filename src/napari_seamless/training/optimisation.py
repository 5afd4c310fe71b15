"""The optimiser's side of training: learning-rate schedule, moving average of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn

WARM_UP = 0.05
LOWEST = 0.01


def learning_rate_factor(progress: float) -> float:
    """Return the share of the highest learning rate at `progress` (0 = start, 1 = end of the budget).

    A linear warm-up over the first 5 %, then a cosine down to 1 % (Loshchilov & Hutter 2017, arXiv 1608.03983).
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < WARM_UP:
        return LOWEST + (1 - LOWEST) * progress / WARM_UP
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
    return LOWEST + (1 - LOWEST) * cosine


def make_optimiser(network: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW that decays the kernels only, not biases and batch-norm parameters."""
    decayed = [weights for weights in network.parameters() if weights.ndim > 1]
    others = [weights for weights in network.parameters() if weights.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate)


class AveragedWeights:
    """Exponential moving average of a network's weights and batch-norm statistics.

    Parameters
    ----------
    network : torch.nn.Module
    decay : float
        A step's decay. At first it is smaller, ``(1 + steps) / (10 + steps)``, so that the random start is forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network's present weights into the average."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Return a copy on the CPU."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self.state.items()}
