"""Patches at another size: linear for intensities, nearest for labels. Any number of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def resample_linear(pixels: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
    """Resample (C, *spatial) to another spatial size, linearly, one axis after the other; edges are repeated."""
    for axis, (n_out, n_in) in enumerate(zip(size, pixels.shape[1:], strict=True), start=1):
        if n_out == n_in:
            continue
        position = np.clip((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5, 0, n_in - 1)
        lower = np.minimum(position.astype(np.int64), n_in - 2)
        shape = [1] * pixels.ndim
        shape[axis] = n_out
        share = (position - lower).astype(np.float32).reshape(shape)
        below, above = np.take(pixels, lower, axis), np.take(pixels, lower + 1, axis)
        pixels = below + (above - below) * share
    return pixels


def resample_nearest(labels: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """Resample (*spatial) to another size by taking the nearest pixel."""
    index = [
        np.minimum(((np.arange(n_out) + 0.5) * (n_in / n_out)).astype(np.int64), n_in - 1)
        for n_out, n_in in zip(size, labels.shape, strict=True)
    ]
    return labels[np.ix_(*index)]
