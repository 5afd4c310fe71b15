"""Which part of an image to look at when it is too large to be read as a whole: evenly spread, always the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from napari_seamless.images.blocks import Box, Chunks, boxes, merge_chunks

_READ_AT_ONCE = 2**22
"""Pixels of one block when all pixels are read."""

_SPREAD = 64
"""A sample comes from at least this many blocks, if there are as many and their size allows it."""

_COST = 16
"""Decoded pixels per pixel looked at: chunks are read as a whole, however few of their pixels are kept."""


def choose_places(chunks: Chunks, max_pixels: int) -> tuple[list[Box], str]:
    """Choose at most ``max_pixels`` pixels of an array.

    Parameters
    ----------
    chunks : tuple of tuple of int
        Chunk lengths per axis of the array.
    max_pixels : int
        Bound for the pixels chosen.

    Returns
    -------
    list of tuple of slice
        What to read, one block at a time: everything when that is at most ``max_pixels``, else a regular grid of pixels
        in chunks that are spread evenly over the array.
    str
        The same in words.
    """
    pixels = math.prod(sum(lengths) for lengths in chunks)
    if pixels <= max_pixels:
        return list(boxes(merge_chunks(chunks, _READ_AT_ONCE))), f"all {pixels} pixels per channel"
    cells = merge_chunks(chunks, max(1, max_pixels // _SPREAD))
    chosen = _spread_cells(cells, _affordable_cells(cells, max_pixels))
    allowance = max(1, max_pixels // len(chosen))
    places = [_thinned(cell, allowance) for cell in chosen[:max_pixels]]
    read = sum(math.prod(len(range(span.start, span.stop, span.step)) for span in place) for place in places)
    return places, f"{read} of {pixels} pixels per channel, from {len(places)} blocks spread evenly over the image"


def _affordable_cells(cells: Chunks, max_pixels: int) -> int:
    cell_pixels = math.prod(max(lengths) for lengths in cells)
    wanted = max(_SPREAD, max_pixels // cell_pixels)
    return max(_SPREAD // 8, min(wanted, _COST * max_pixels // cell_pixels))


def _spread_cells(cells: Chunks, n_wanted: int) -> list[Box]:
    counts = tuple(len(lengths) for lengths in cells)
    if math.prod(counts) <= n_wanted:
        return list(boxes(cells))
    indices = sorted(set(_low_discrepancy(counts, n_wanted)))
    starts = [[sum(lengths[:position]) for position in range(len(lengths))] for lengths in cells]
    return [
        tuple(
            slice(starts[axis][position], starts[axis][position] + cells[axis][position])
            for axis, position in enumerate(index)
        )
        for index in indices
    ]


def _low_discrepancy(counts: Sequence[int], n_points: int) -> Iterator[tuple[int, ...]]:
    """Yield grid indices that fill a grid evenly whatever their number: the additive recurrence R_d of Roberts (2018).

    The step along the k-th of the d axes with more than one cell is phi**-k, phi the real root of x**(d + 1) = x + 1.
    """
    axes = [axis for axis, count in enumerate(counts) if count > 1]
    phi = 2.0
    for _ in range(60):
        phi = (1 + phi) ** (1 / (len(axes) + 1))
    steps = {axis: phi ** -(rank + 1) for rank, axis in enumerate(axes)}
    for point in range(n_points):
        yield tuple(int((0.5 + (point + 1) * steps.get(axis, 0.0)) % 1 * count) for axis, count in enumerate(counts))


def _thinned(cell: Box, max_pixels: int) -> Box:
    """Keep every n-th row, column and so on of a block, so that at most ``max_pixels`` stay."""
    sides = [span.stop - span.start for span in cell]
    steps = [1] * len(sides)
    kept = list(sides)
    while math.prod(kept) > max_pixels:
        axis = kept.index(max(kept))
        steps[axis] += 1
        kept[axis] = -(-sides[axis] // steps[axis])
    return tuple(slice(span.start, span.stop, step) for span, step in zip(cell, steps, strict=True))
