"""How much each class counts in the cross entropy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_seamless.errors import TrainingError
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.setup import TrainingSetup

_BATCHES = 4
_MOST = 20.0
"""A class that is hardly ever seen counts so much at most: a handful of pixels must not drive the whole network."""


def resolve_class_weights(setup: TrainingSetup, options: TrainingOptions) -> Tensor | None:
    """Return the weight of each class that `options` ask for, float32, or None where all are 1.

    "balanced" weights are the inverse of the classes' shares of the weighted pixels in a few batches, drawn like those
    of the training, so that each class counts alike altogether; the mean over the pixels is 1.

    Raises
    ------
    TrainingError
        If there are not as many given weights as classes.
    """
    rule = options.class_weights
    if rule == "none":
        return None
    n_classes = max(2, setup.model.config.out_channels)
    if rule == "balanced":
        return _balanced(setup, options.seed, n_classes)
    if len(rule) != n_classes:
        raise TrainingError(f"class_weights needs one number for each of the {n_classes} classes, not {len(rule)}")
    return torch.tensor(rule, dtype=torch.float32)


def _balanced(setup: TrainingSetup, seed: int, n_classes: int) -> Tensor:
    seen = np.zeros(n_classes)
    for index in range(_BATCHES):
        _, target, weight = setup.drawer.draw_batch(setup.batch_size, np.random.default_rng([seed, 4, index]))
        seen += np.bincount(target.ravel(), weights=weight.ravel(), minlength=n_classes)
    shares = seen / max(seen.sum(), 1e-6)
    present = shares > 0
    weights = np.ones(n_classes)
    weights[present] = np.minimum(1.0 / (present.sum() * shares[present]), _MOST)
    return torch.from_numpy(weights.astype(np.float32))
