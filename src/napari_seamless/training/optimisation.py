"""The optimiser's side of training: what is trained how fast, learning-rate schedule, moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from napari_seamless.networks.nested import NestedNetwork
from napari_seamless.training.options import TrainingOptions

WARM_UP = 0.05
WARM_UP_STEPS = 100
"""Length of the warm-up of a run that has no end."""
LOWEST = 0.01
MOMENTUM = 0.99
"""Of SGD (Ronneberger 2015, arXiv 1505.04597)."""

_BATCH_NORM = (nn.BatchNorm2d, nn.BatchNorm3d)


def learning_rate_factor(progress: float) -> float:
    """Return the share of the highest learning rate at `progress` (0 = start, 1 = end of the budget).

    A linear warm-up over the first 5 %, then a cosine down to 1 % (Loshchilov & Hutter 2017, arXiv 1608.03983).
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < WARM_UP:
        return _warming_up(progress / WARM_UP)
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
    return LOWEST + (1 - LOWEST) * cosine


def endless_learning_rate_factor(step: int) -> float:
    """Return the share of the highest learning rate at a step of a run without end: warm-up, then constant."""
    return _warming_up(min(1.0, step / WARM_UP_STEPS))


def _warming_up(share: float) -> float:
    return LOWEST + (1 - LOWEST) * share


def make_optimiser(network: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimiser of what is not frozen.

    It decays the kernels only, not biases and batch-norm parameters. Each of its parameter groups has a ``rate``, the
    factor on the learning rate that `set_learning_rate` sets.
    """
    freeze(network, options)
    groups = [
        {"params": weights, "weight_decay": decay, "rate": rate}
        for rate, parameters in (
            (1.0, _parameters(network, of_encoder=False)),
            (options.encoder_rate, _parameters(network, of_encoder=True)),
        )
        for decay, weights in _by_decay(parameters, options.weight_decay)
        if weights and rate > 0
    ]
    return _OPTIMISERS[options.optimiser](groups, options.learning_rate)


def _adamw(groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=learning_rate)


def _sgd(groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=learning_rate, momentum=MOMENTUM)


_OPTIMISERS = {"adamw": _adamw, "sgd": _sgd}


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of every parameter group, each by its own factor."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group["rate"]


def freeze(network: nn.Module, options: TrainingOptions) -> None:
    """Take what the options freeze out of the gradients."""
    if options.encoder_rate == 0:
        for weights in _parameters(network, of_encoder=True):
            weights.requires_grad_(False)


def set_training_mode(network: nn.Module, options: TrainingOptions) -> None:
    """Put the network into training mode, but for the batch norm that keeps its statistics.

    That is all of it with `freeze_norm`, and that of frozen nodes in any case: their output must not drift.
    """
    network.train()
    kept = network if options.freeze_norm else _encoder(network) if options.encoder_rate == 0 else None
    if kept is not None:
        for module in kept.modules():
            if isinstance(module, _BATCH_NORM):
                module.eval()


def _encoder(network: nn.Module) -> nn.ModuleList:
    """Return the blocks of the contracting path, x_{i,0}."""
    if not isinstance(network, NestedNetwork):
        return nn.ModuleList()
    return nn.ModuleList([block for name, block in network.blocks.items() if name.endswith("_0")])


def _parameters(network: nn.Module, *, of_encoder: bool) -> Iterator[nn.Parameter]:
    encoder = {id(weights) for weights in _encoder(network).parameters()}
    return (weights for weights in network.parameters() if (id(weights) in encoder) is of_encoder)


def _by_decay(parameters: Iterable[nn.Parameter], decay: float) -> list[tuple[float, list[nn.Parameter]]]:
    found = list(parameters)
    return [
        (decay, [weights for weights in found if weights.ndim > 1]),
        (0.0, [weights for weights in found if weights.ndim <= 1]),
    ]


class AveragedWeights:
    """Exponential moving average of a network's weights and batch-norm statistics.

    Parameters
    ----------
    network : torch.nn.Module
    decay : float
        A step's decay. At first it is smaller, ``(1 + steps) / (10 + steps)``, so that the random start is forgotten.

    Attributes
    ----------
    steps : int
        How often the average was updated.
    state : dict of str to Tensor
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
