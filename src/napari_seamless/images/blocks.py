"""Cut arrays into blocks that follow their chunks, so that a pass over an array decodes every chunk once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Chunks = tuple[tuple[int, ...], ...]
Box = tuple[slice, ...]


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


def merge_chunk_shape(shape: Sequence[int], chunk_shape: Sequence[int], max_elements: int) -> tuple[int, ...]:
    """Return the largest multiple of ``chunk_shape`` with at most ``max_elements``, grown evenly over the axes.

    Growth starts with the last axes, so that a page of strips becomes one block before pages are joined. A chunk that
    is larger than ``max_elements`` stays as it is.
    """
    merged = [min(chunk, length) for chunk, length in zip(chunk_shape, shape, strict=True)]
    growing = True
    while growing:
        growing = False
        for axis in reversed(range(len(merged))):
            larger = min(merged[axis] * 2, shape[axis])
            if larger > merged[axis] and math.prod(merged) // merged[axis] * larger <= max_elements:
                merged[axis] = larger
                growing = True
    return tuple(merged)


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
