"""Where a result deserves a second look: one number for each pixel, from probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def entropy(probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """Return how undecided class probabilities are.

    Parameters
    ----------
    probabilities : ndarray, shape (classes, *spatial)
        A single class is taken as the probability of foreground.

    Returns
    -------
    ndarray, shape (*spatial), float32
        Shannon entropy divided by that of a uniform distribution: 0 for certainty, 1 for a pure guess.
    """
    if probabilities.shape[0] == 1:
        probabilities = np.concatenate([probabilities, 1 - probabilities])
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return np.asarray(-(probabilities * logs).sum(0) / np.log(probabilities.shape[0]), np.float32)


def disagreement(heads: NDArray[Any]) -> NDArray[np.float32]:
    """Return how much the heads of a UNet++ contradict each other; free of cost, for they are computed anyway.

    Parameters
    ----------
    heads : ndarray, shape (heads, classes, *spatial)
        Class probabilities of every head.

    Returns
    -------
    ndarray, shape (*spatial), float32
        Mean over the heads of the total variation distance to their mean: 0 if all agree, below 1 always.
    """
    distances = np.abs(heads - heads.mean(0)).sum(1)
    if heads.shape[1] > 1:
        distances = distances / 2  # each shifted probability is counted where it left and where it arrived
    return np.asarray(distances.mean(0), np.float32)
