"""Percentiles of pixels that arrive block by block, as ``numpy.percentile`` gives them for all at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Collected(Protocol):
    """Pixels of one channel, in the form that their type allows."""

    def add(self, values: NDArray[Any]) -> None:
        """Take in more pixels."""

    def percentiles(self, percentiles: Sequence[float]) -> list[float]:
        """Return the value at every percentile."""

    def extremes(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""


def collector(dtype: np.dtype[Any]) -> Collected:
    """Return an empty histogram for integers of up to 16 bits, and a list of pixels for the others."""
    return Histogram(dtype) if dtype.kind in "bui" and dtype.itemsize <= 2 else Pixels(dtype)


class Histogram:
    """Counts of every value of an integer type of up to 16 bits."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._lowest = 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)
        self._counts = np.zeros(2 ** (8 * dtype.itemsize), np.int64)

    def add(self, values: NDArray[Any]) -> None:
        """Take in more pixels."""
        shifted = values.ravel().astype(np.int64) - self._lowest
        self._counts += np.bincount(shifted, minlength=self._counts.size)

    def percentiles(self, percentiles: Sequence[float]) -> list[float]:
        """Return the value at every percentile."""
        return [self._percentile(percentile) for percentile in percentiles]

    def extremes(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        present = np.flatnonzero(self._counts)
        return float(present[0] + self._lowest), float(present[-1] + self._lowest)

    def _percentile(self, percentile: float) -> float:
        cumulative = np.cumsum(self._counts)
        position = percentile / 100 * (int(cumulative[-1]) - 1)
        below = math.floor(position)
        ranks = np.minimum([below, below + 1], cumulative[-1] - 1)
        first, second = np.searchsorted(cumulative, ranks, side="right") + self._lowest
        return float(first + (second - first) * (position - below))


class Pixels:
    """The pixels themselves, for wide integers and floats."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._type = np.promote_types(dtype.newbyteorder("="), np.float32) if dtype.kind == "f" else dtype
        self._parts: list[NDArray[Any]] = []

    def add(self, values: NDArray[Any]) -> None:
        """Take in more pixels."""
        self._parts.append(values.ravel().astype(self._type))

    def percentiles(self, percentiles: Sequence[float]) -> list[float]:
        """Return the value at every percentile."""
        self._parts = [np.concatenate(self._parts)]
        return _exact_percentiles(self._parts[0], percentiles)

    def extremes(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return float(min(part.min() for part in self._parts)), float(max(part.max() for part in self._parts))


def _exact_percentiles(values: NDArray[Any], percentiles: Sequence[float]) -> list[float]:
    """Interpolate between order statistics in float64, without a float64 copy of all values."""
    positions = [percentile / 100 * (values.size - 1) for percentile in percentiles]
    below = [math.floor(position) for position in positions]
    ranks = sorted({min(rank + step, values.size - 1) for rank in below for step in (0, 1)})
    values.partition(ranks)
    result = []
    for position, rank in zip(positions, below, strict=True):
        first, second = float(values[rank]), float(values[min(rank + 1, values.size - 1)])
        weight = position - rank
        result.append(first * (1 - weight) + second * weight if first != second else first)
    return result
