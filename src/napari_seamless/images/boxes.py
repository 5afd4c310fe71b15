"""Boxes of whole pixels, ``((start, stop), ...)`` with one pair per axis, and the chunks of an array they touch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from napari_seamless.errors import AxesError

Box = tuple[tuple[int, int], ...]
ChunkIndex = tuple[int, ...]
Slices = tuple[slice, ...]
Region = Mapping[str, tuple[int, int]]

BLOCK_SIDE = 2048
"""Passes over large arrays take blocks of single planes, this long along Y and X."""


def whole(shape: Sequence[int]) -> Box:
    """Return the box of a whole array."""
    return tuple((0, int(length)) for length in shape)


def as_slices(box: Box) -> Slices:
    """Return what an array of that frame is indexed with."""
    return tuple(slice(start, stop) for start, stop in box)


def box_shape(box: Box) -> tuple[int, ...]:
    """Return the lengths of a box."""
    return tuple(stop - start for start, stop in box)


def size_of(box: Box) -> int:
    """Return the number of pixels in a box."""
    return math.prod(box_shape(box))


def intersection(first: Box, second: Box) -> Box | None:
    """Return what two boxes share, or None."""
    shared = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(first, second, strict=True))
    return shared if all(start < stop for start, stop in shared) else None


def contains(outer: Box, inner: Box) -> bool:
    """Whether `inner` lies in `outer`."""
    return all(a <= c and d <= b for (a, b), (c, d) in zip(outer, inner, strict=True))


def union(first: Box, second: Box) -> Box:
    """Return the smallest box around two boxes."""
    return tuple((min(a, c), max(b, d)) for (a, b), (c, d) in zip(first, second, strict=True))


def relative(box: Box, origin: Box) -> Box:
    """Return `box` counted from the start of `origin`."""
    return tuple((start - first, stop - first) for (start, stop), (first, _) in zip(box, origin, strict=True))


def chunk_box(index: ChunkIndex, chunk_shape: Sequence[int], shape: Sequence[int]) -> Box:
    """Return the part of the array that a chunk holds."""
    return tuple(
        (number * side, min((number + 1) * side, length))
        for number, side, length in zip(index, chunk_shape, shape, strict=True)
    )


def chunks_in(box: Box, chunk_shape: Sequence[int]) -> Iterator[ChunkIndex]:
    """Yield the indices of all chunks that a box touches, in C order."""
    spans = (range(start // side, -(-stop // side)) for (start, stop), side in zip(box, chunk_shape, strict=True))
    return itertools.product(*spans)


def blocks_in(box: Box, block_shape: Sequence[int]) -> Iterator[Box]:
    """Yield the parts of a box along a grid of blocks that starts at the array's origin."""
    for index in chunks_in(box, block_shape):
        block = tuple((number * side, (number + 1) * side) for number, side in zip(index, block_shape, strict=True))
        part = intersection(block, box)
        if part is not None:
            yield part


def box_of(region: Region | Sequence[Any] | None, axes: str, shape: Sequence[int]) -> Box:
    """Return a region as a box.

    Parameters
    ----------
    region : mapping of axis to (start, stop), sequence of (start, stop) or slice, or None
        Axes that a mapping does not name are taken whole; None is everything.
    axes : str
    shape : sequence of int

    Raises
    ------
    AxesError
        For an axis that there is not, or a part that is empty or lies outside.
    """
    if region is None:
        return whole(shape)
    if isinstance(region, Mapping):
        unknown = set(region) - set(axes)
        if unknown:
            raise AxesError(f"a region is given along {axes}; there is no axis {', '.join(sorted(unknown))}")
        pairs = [region.get(axis, (0, length)) for axis, length in zip(axes, shape, strict=True)]
    elif len(region) != len(shape):
        raise AxesError(f"a region has one pair for each of the axes {axes}, found {len(region)}: {region}")
    else:
        both = zip(region, shape, strict=True)
        pairs = [part.indices(length)[:2] if isinstance(part, slice) else part for part, length in both]
    box = tuple((int(start), int(stop)) for start, stop in pairs)
    if not all(0 <= start < stop <= length for (start, stop), length in zip(box, shape, strict=True)):
        raise AxesError(f"the region {box} is empty or reaches beyond the labels of shape {tuple(shape)}")
    return box
