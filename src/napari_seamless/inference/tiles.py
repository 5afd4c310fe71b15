"""Tiles: which regions are read and written, and reading them with mirrored indices. Integers and numpy, no torch.

Coordinates are those of the image along its spatial axes. A tile's *inner* region is what it writes; its *outer* region
is what the network reads for it, and may stick out of the image on any side: there, indices fold back (mirror without
repeating the edge). Every tile starts at a multiple of the network's alignment, so that all tiles see the pooling grid
in the same place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import TileSizeError
from napari_seamless.networks.geometry import Geometry, round_up

Span = tuple[int, int]
"""Start and stop along one axis."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One step of a run.

    Attributes
    ----------
    index : int
        Place in the grid's order.
    inner : tuple of (start, stop)
        The region this tile writes, inside the image, for each spatial axis.
    outer : tuple of (start, stop)
        The region the network reads, for each spatial axis; may stick out of the image.
    cut : tuple of (start, stop)
        Where the inner region lies in the network's *output*.
    """

    index: int
    inner: tuple[Span, ...]
    outer: tuple[Span, ...]
    cut: tuple[Span, ...]

    @property
    def outer_shape(self) -> tuple[int, ...]:
        """Pixels of the outer region along each axis."""
        return tuple(stop - start for start, stop in self.outer)


@dataclass(frozen=True)
class TileGrid(Sequence[Tile]):
    """The tiles of a region, made on demand: a grid of a million tiles takes no memory.

    Every pixel of the region lies in the inner region of exactly one tile.

    Attributes
    ----------
    region : tuple of (start, stop)
        The part of the image to be written, for each spatial axis.
    tile_size : tuple of int
        Pixels of the inner regions; multiples of the alignment. Tiles at the region's ends are smaller.
    geometry : Geometry
        Of the network at the level used.
    """

    region: tuple[Span, ...]
    tile_size: tuple[int, ...]
    geometry: Geometry

    def __post_init__(self) -> None:
        check_tile_size(self.tile_size, self.geometry.alignment)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(
            -(-(stop - origin) // size)
            for (_, stop), origin, size in zip(self.region, self._origins, self.tile_size, strict=True)
        )

    @property
    def _origins(self) -> tuple[int, ...]:
        """The pooling grid's last point at or before the region's start, for each axis."""
        return tuple(start // m * m for (start, _), m in zip(self.region, self.geometry.alignment, strict=True))

    @property
    def largest_outer_shape(self) -> tuple[int, ...]:
        """The largest outer region of any tile, for each axis."""
        inner = (
            min(size, stop - origin)
            for (_, stop), origin, size in zip(self.region, self._origins, self.tile_size, strict=True)
        )
        return self.geometry.input_sizes(tuple(inner))

    @property
    def outer_pixels(self) -> int:
        """Pixels that the network sees in total: the work of a run."""
        along_axes = []
        for axis, count in enumerate(self.counts):
            along_axes.append(
                sum(self._along(axis, step)[1][1] - self._along(axis, step)[1][0] for step in range(count))
            )
        return prod(along_axes)

    @property
    def largest_cut(self) -> tuple[Span, ...]:
        """What of the network's output a tile with the largest outer region keeps, in whole cells of the grid."""
        found = self.geometry
        margins = [halo - crop for halo, crop in zip(found.halo, found.crop, strict=True)]
        outputs = found.output_sizes(self.largest_outer_shape)
        return tuple((margin, size - margin) for margin, size in zip(margins, outputs, strict=True))

    def kinds(self) -> Iterator[tuple[int, tuple[int, ...], tuple[Span, ...]]]:
        """Yield every kind of tile: how many there are, the shape of their outer region, and their cut."""
        along = []
        for axis, count in enumerate(self.counts):
            placed = (self._along(axis, step) for step in range(count))
            along.append(Counter((outer[1] - outer[0], cut) for _, outer, cut in placed))
        for kind in product(*(counter.items() for counter in along)):
            shape, cut = zip(*(key for key, _ in kind), strict=True)
            yield prod(number for _, number in kind), shape, cut

    def __len__(self) -> int:
        return prod(self.counts)

    @overload
    def __getitem__(self, index: int) -> Tile: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tile]: ...
    def __getitem__(self, index: int | slice) -> Tile | list[Tile]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        index %= len(self)
        steps = np.unravel_index(index, self.counts)
        spans = [self._along(axis, int(step)) for axis, step in enumerate(steps)]
        inner, outer, cut = (tuple(span[part] for span in spans) for part in range(3))
        return Tile(index, inner, outer, cut)

    def __iter__(self) -> Iterator[Tile]:
        return (self[index] for index in range(len(self)))

    def _along(self, axis: int, step: int) -> tuple[Span, Span, Span]:
        """Return the inner and outer spans of the tile at `step` along `axis`, and the cut from its output."""
        region_start, region_stop = self.region[axis]
        size = self.tile_size[axis]
        origin = self._origins[axis] + step * size
        stop = min(origin + size, region_stop)
        inner = (max(origin, region_start), stop)
        context, crop = self.geometry.halo[axis], self.geometry.crop[axis]
        outer_start = origin - context
        outer = (outer_start, outer_start + self.geometry.input_size(axis, stop - origin))
        output_start = outer_start + crop
        return inner, outer, (inner[0] - output_start, inner[1] - output_start)


def check_tile_size(tile_size: Sequence[int], alignment: Sequence[int]) -> None:
    """Raise TileSizeError unless every tile size is a positive multiple of the pooling grid."""
    for size, m in zip(tile_size, alignment, strict=True):
        if size < 1 or size % m:
            low, high = max(size // m, 0) * m, (max(size // m, 0) + 1) * m
            choices = f"{low} or {high}" if low else f"{high}"
            poolings = m.bit_length() - 1
            raise TileSizeError(f"tile_size {size} is not a multiple of {m} ({poolings} poolings): use {choices}")


def whole_region_tile(region: Sequence[Span], alignment: Sequence[int]) -> tuple[int, ...]:
    """Return the tile size that covers a region with a single tile: the untiled reference."""
    return tuple(max(m, round_up(stop - start // m * m, m)) for (start, stop), m in zip(region, alignment, strict=True))


def mirror_indices(start: int, stop: int, length: int) -> NDArray[np.intp]:
    """Return the image indices that the positions ``start .. stop - 1`` fold to.

    Position i folds by the period 2 (n - 1): ``... 2 1 0 1 2 ... n-2 n-1 n-2 ...``, at any distance; an axis of a
    single pixel repeats it.
    """
    positions = np.arange(start, stop)
    if length == 1:
        return np.zeros(positions.shape, np.intp)
    period = 2 * (length - 1)
    folded = np.mod(positions, period)
    indices: NDArray[np.intp] = np.minimum(folded, period - folded)
    return indices


def read_outer(array: Any, outer: Sequence[Span]) -> NDArray[Any]:
    """Read an outer region, mirrored where it sticks out of the image.

    Parameters
    ----------
    array : array-like, shape (C, *spatial)
        Anything that is read by slices: only the slice of the image that is needed is read.
    outer : sequence of (start, stop)
        For each spatial axis.

    Returns
    -------
    ndarray, shape (C, *outer sizes)
    """
    folded = [mirror_indices(start, stop, length) for (start, stop), length in zip(outer, array.shape[1:], strict=True)]
    needed = tuple(slice(int(indices.min()), int(indices.max()) + 1) for indices in folded)
    block = np.asarray(array[(slice(None), *needed)])
    for axis, (indices, read) in enumerate(zip(folded, needed, strict=True), start=1):
        if len(indices) != block.shape[axis] or indices[0] != read.start or indices[-1] != read.stop - 1:
            block = block.take(indices - read.start, axis=axis)
    return block


def all_planes(spans: Sequence[Span]) -> Iterator[tuple[int, ...]]:
    """Return every index over the leading axes (time, and depth for 2D networks), the last one fastest."""
    return product(*(range(start, stop) for start, stop in spans))
