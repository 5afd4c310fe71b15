"""The weight map of the U-Net paper: borders between close cells count more (Ronneberger 2015, arXiv 1505.04597).

    w(x) = 1 + w0 * exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

d1 and d2 are the distances to the border of the nearest and of the second nearest cell. Everything beyond `reach` is
zero, so that the map of a patch with that much context equals the map of the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

REACH = 4.0
"""In units of sigma: where d1 + d2 is larger, the exponential is below 4e-4 and taken as zero."""


def reach(sigma: float, sampling: Sequence[float]) -> tuple[int, ...]:
    """Return how many pixels along each axis the weight of a pixel depends on.

    Parameters
    ----------
    sigma : float
    sampling : sequence of float
        Size of a pixel along each axis, in the unit of sigma.
    """
    return tuple(math.ceil(REACH * sigma / step) + 1 for step in sampling)


def border_weights(
    labels: NDArray[np.integer[Any]], sampling: Sequence[float] | None = None, *, w0: float = 10.0, sigma: float = 5.0
) -> NDArray[np.float32]:
    """Return the weight of each pixel.

    Parameters
    ----------
    labels : ndarray, integer, 2 or 3 dimensions
        One id for each cell, 0 = between cells.
    sampling : sequence of float, optional
        Size of a pixel along each axis, in the unit of `sigma`; by default 1, so sigma is in pixels.
    w0, sigma : float

    Returns
    -------
    ndarray, float32, same shape
        Between 1 and 1 + w0. A cell's border are its own pixels next to something else; inside a cell, d1 is the
        distance to its own border.
    """
    sampling = tuple(sampling) if sampling is not None else (1.0,) * labels.ndim
    limit = REACH * sigma
    nearest = np.full(labels.shape, np.inf, np.float64)
    second = np.full(labels.shape, np.inf, np.float64)
    margin = reach(sigma, sampling)
    ids = np.unique(labels)
    dense = np.searchsorted(ids, labels) + (1 if ids[0] != 0 else 0)
    for number, box in enumerate(ndimage.find_objects(dense), start=1):
        around = tuple(
            slice(max(0, part.start - side), part.stop + side) for part, side in zip(box, margin, strict=True)
        )
        border = _border(dense, number, around)
        if not border.any():
            continue
        distance = ndimage.distance_transform_edt(~border, sampling=sampling)
        here, there = nearest[around], second[around]
        np.minimum(there, np.maximum(here, distance), out=there)
        np.minimum(here, distance, out=here)
    both = nearest + second
    weight = np.where(both <= limit, w0 * np.exp(-(np.minimum(both, limit) ** 2) / (2 * sigma**2)), 0.0)
    return (1.0 + weight).astype(np.float32)


def _border(dense: NDArray[np.int64], number: int, around: tuple[slice, ...]) -> NDArray[np.bool_]:
    """Return the pixels of a cell that touch something else; the edge of the array is no border."""
    wider = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in around)
    cell = dense[wider] == number
    inside = ndimage.binary_erosion(cell, border_value=1)
    trimmed = tuple(
        slice(part.start - wide.start, part.start - wide.start + (min(part.stop, length) - part.start))
        for part, wide, length in zip(around, wider, dense.shape, strict=True)
    )
    border: NDArray[np.bool_] = (cell & ~inside)[trimmed]
    return border
