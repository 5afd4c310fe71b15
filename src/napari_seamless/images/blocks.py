"""Cut arrays into blocks that follow their chunks, so that a pass over an array decodes every chunk once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Chunks = tuple[tuple[int, ...], ...]
Box = tuple[slice, ...]

BLOCK_BYTES = 8 * 2**20
"""Blocks of a lazy array hold about this much: small enough to slice cheaply, large enough for short task graphs."""


def regular_chunks(shape: Sequence[int], chunk_shape: Sequence[int]) -> Chunks:
    """Return the lengths of all chunks per axis for chunks of one shape; the last of an axis may be shorter."""
    chunks = []
    for length, chunk in zip(shape, chunk_shape, strict=True):
        full, rest = divmod(length, chunk)
        chunks.append((chunk,) * full + ((rest,) if rest else ()))
    return tuple(chunks)


def chunks_of(array: Any) -> Chunks:
    """Return the chunk lengths per axis of a dask, zarr or numpy array; of a plain array every row is a chunk."""
    chunks = getattr(array, "chunks", None)
    if chunks is None:
        rows = (1,) * max(array.ndim - 2, 0) + tuple(array.shape[-2:])
        return regular_chunks(array.shape, rows)
    if all(isinstance(lengths, int | np.integer) for lengths in chunks):
        return regular_chunks(array.shape, chunks)
    return tuple(tuple(int(length) for length in lengths) for lengths in chunks)


def block_shape(shape: Sequence[int], chunk_shape: Sequence[int], dtype: Any) -> tuple[int, ...]:
    """Return the shape of lazy blocks: chunks joined to about ``BLOCK_BYTES``, single chunks where these are larger.

    Chunks are joined within planes first, then along every axis on which chunks reach further than 1, then along the
    others, doubling each in turn.
    """
    budget = max(1, BLOCK_BYTES // np.dtype(dtype).itemsize)
    block = [min(chunk, length) for chunk, length in zip(chunk_shape, shape, strict=True)]
    last = len(block) - (3 if len(block) > 2 and shape[-1] <= 4 else 2)
    planar = [axis for axis in range(len(block)) if axis >= last]
    deep = [axis for axis in range(len(block)) if axis < last and block[axis] > 1]
    rest = [axis for axis in range(len(block)) if axis < last and block[axis] == 1]
    for axes in (planar, deep, rest):
        _grow(block, shape, axes, budget)
    return tuple(block)


def _grow(block: list[int], shape: Sequence[int], axes: Sequence[int], max_elements: int) -> None:
    growing = True
    while growing:
        growing = False
        for axis in reversed(axes):
            larger = min(block[axis] * 2, shape[axis])
            if larger > block[axis] and math.prod(block) // block[axis] * larger <= max_elements:
                block[axis] = larger
                growing = True


def merge_chunks(chunks: Chunks, max_elements: int) -> Chunks:
    """Join neighbouring chunks, last axis first, into blocks of at most ``max_elements`` (or single larger chunks)."""
    elements = math.prod(max(lengths) for lengths in chunks)
    merged: list[tuple[int, ...]] = []
    for lengths in reversed(chunks):
        factor = min(max(1, max_elements // elements), len(lengths))
        joined = tuple(sum(lengths[start : start + factor]) for start in range(0, len(lengths), factor))
        elements = elements // max(lengths) * max(joined)
        merged.append(joined)
    return tuple(reversed(merged))


def boxes(chunks: Chunks) -> Iterator[Box]:
    """Yield the slices of every block in raster order."""
    yield from itertools.product(*(_spans(lengths) for lengths in chunks))


def _spans(lengths: Sequence[int]) -> list[slice]:
    stops = list(itertools.accumulate(lengths))
    return [slice(stop - length, stop) for stop, length in zip(stops, lengths, strict=True)]
