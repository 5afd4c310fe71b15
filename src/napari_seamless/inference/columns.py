"""How a region is streamed: columns through it, along which axis, how wide, and how many planes at a time.

A column is a tile that spans the whole region along one axis. The network is streamed along that axis
(`networks/stream.py`), so that the halo there is paid once a column instead of once a tile, and the column's length
costs no memory: columns can be wider than tiles, which saves halo across as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import lcm, prod

from napari_seamless.errors import TileSizeError
from napari_seamless.inference.tiles import Span, TileGrid, whole_region_tile
from napari_seamless.inference.tiling import BYTES_PER_VALUE, SHARE_OF_FREE_MEMORY, constant_bytes, halved
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.cost import multiply_adds_per_pixel
from napari_seamless.networks.geometry import Geometry, round_up
from napari_seamless.networks.stream_cost import StreamCost, stream_cost

PIECE_PLANES = 32
"""Planes of a finished piece, counted from the region's start: the depth of a chunk of the files that are written."""

CHUNK_PLANES = {2: (256, 64, 16), 3: (64, 16, 8, 4)}
"""Numbers of planes that are fed at a time, to choose from, by the number of spatial dimensions."""

MOST_CHUNK_PIXELS = 2**23
"""Larger chunks save nothing, and make every step of progress and every Cancel slow."""

MOST_SLAB_PLANES = 128
"""Planes that are read at a time, at most: more only to meet the chunks of the file."""

HOLES = 1.6
"""What an allocator takes for values that come and go in blocks of different sizes, as a multiple of those alive.

Measured (glibc, bf16, 32 to 256 features, chunks of 64 planes): 1.7 over 256 planes, 0.9 over 128; why a longer stream
takes more is not known. Too little is worse than too much, so the longer one counts.
"""

STEP_PIXELS = 2**12
"""What feeding one chunk costs beside its arithmetic, as pixels of the network's input: calls and small copies.

Measured (one CPU core, float32, networks of 16 to 128 and 32 to 512 features): 2 to 6 ms, at 1 to 2 µs a pixel.
"""


@dataclass(frozen=True)
class Columns:
    """The columns of a region.

    Attributes
    ----------
    config : NetworkConfig
    levels : tuple of int
        The network's heads that are run.
    precision : str
    axis : int
        The spatial axis that is streamed.
    grid : TileGrid
        Along `axis`, its tiles span the whole region. Their outer regions count across `axis` only: how far a stream
        reads along it, the network says.
    chunk_planes : int
        Planes that are fed to the network at a time.
    slab_planes : int
        Planes that are read at a time: whole chunks of the file where that is possible.
    """

    config: NetworkConfig
    levels: tuple[int, ...]
    precision: str
    axis: int
    grid: TileGrid
    chunk_planes: int
    slab_planes: int

    @property
    def peak_bytes(self) -> int:
        """Predicted peak of the memory on the device that holds the activations."""
        cost = self._cost(self.grid.largest_outer_shape, self.grid.largest_cut)
        activations = HOLES * cost.peak_values * BYTES_PER_VALUE[self.precision]
        planes_in = 3 * self.config.in_channels * min(self.slab_planes, cost.input_planes)  # raw, normalised, waiting
        planes_out = 3 * len(self.levels) * self.config.out_channels * max(PIECE_PLANES, self.chunk_planes)
        constant = constant_bytes(self.config, max(self.levels))
        return int(self._widest * (activations + 4 * (planes_in + planes_out))) + constant

    @property
    def equal_pixels(self) -> float:
        """Pixels of network input that would cost as much; compare with `tiling.work_pixels`."""
        total, steps = 0.0, 0
        for count, outer, cut in self.grid.kinds():
            cost = self._cost(outer, cut)
            total += count * cost.multiply_adds * self._cross_section(outer)
            steps += count * -(-cost.input_planes // self.chunk_planes)
        return total / multiply_adds_per_pixel(self.config, max(self.levels)) + STEP_PIXELS * steps

    @property
    def chunk_pixels(self) -> int:
        """Pixels of the largest chunk that is fed."""
        return self._widest * self.chunk_planes

    def _cost(self, outer: Sequence[int], cut: Sequence[Span]) -> StreamCost:
        start, stop = self.grid.region[self.axis]
        return stream_cost(
            self.config,
            self.levels,
            axis=self.axis,
            inner=(self._phase, self._phase + stop - start),
            chunk_planes=self.chunk_planes,
            outer_shape=outer,
            wanted=cut,
        )

    def _cross_section(self, outer: Sequence[int]) -> int:
        """Pixels across a column with its halo."""
        return prod(outer[: self.axis]) * prod(outer[self.axis + 1 :])

    @property
    def _phase(self) -> int:
        """Where on the pooling grid the region starts."""
        return self.grid.region[self.axis][0] % self.grid.geometry.alignment[self.axis]

    @property
    def _widest(self) -> int:
        return self._cross_section(self.grid.largest_outer_shape)

    def narrower(self) -> Columns | None:
        """Return columns of half the width, or None if they are as narrow as can be."""
        axis, m = self.axis, self.grid.geometry.alignment
        size = self.grid.tile_size
        across = halved([*size[:axis], *size[axis + 1 :]], [*m[:axis], *m[axis + 1 :]])
        return None if across is None else self._with_size((*across[:axis], size[axis], *across[axis:]))

    def shortened(self) -> Columns | None:
        """Return columns whose longest side is an eighth shorter, or None if they are as narrow as can be."""
        size, m = list(self.grid.tile_size), self.grid.geometry.alignment
        sides = [side for side, length in enumerate(size) if side != self.axis and length > m[side]]
        if not sides:
            return None
        side = max(sides, key=lambda one: size[one])
        size[side] = max(m[side], min(size[side] - m[side], size[side] * 7 // 8 // m[side] * m[side]))
        return self._with_size(tuple(size))

    def _with_size(self, size: tuple[int, ...]) -> Columns:
        return replace(self, grid=replace(self.grid, tile_size=size))


def choose_columns(
    config: NetworkConfig,
    levels: Sequence[int],
    region: Sequence[Span],
    used: Geometry,
    free_bytes: int,
    precision: str,
    *,
    storage_planes: Sequence[int] | None = None,
    axes: Iterable[int] = (0,),
) -> Columns:
    """Return the cheapest way to stream a region within the memory.

    Parameters
    ----------
    config : NetworkConfig
    levels : sequence of int
        The heads that are run.
    region : sequence of (start, stop)
        The part of the image to be written, for each spatial axis.
    used : Geometry
        Of the network at the deepest level.
    free_bytes : int
        Memory that is free on the device; a part of it is planned with, as for tiles.
    precision : str
    storage_planes : sequence of int, optional
        How many planes the file stores together, along each spatial axis.
    axes : iterable of int
        Spatial axes that may be streamed; of equally cheap ones the first is taken. The first axis is what files are
        fast to read along: whole planes, or whole rows.

    Raises
    ------
    TileSizeError
        If not even the narrowest column fits into the memory.
    """
    storage = storage_planes or (1,) * len(region)
    budget = free_bytes * SHARE_OF_FREE_MEMORY
    grid = TileGrid(tuple(region), whole_region_tile(region, used.alignment), used)
    found: list[Columns] = []
    for axis in axes:
        for chunk in CHUNK_PLANES[len(region)]:
            slab = _slab_planes(chunk, storage[axis])
            columns = _widest_within(Columns(config, tuple(levels), precision, axis, grid, chunk, slab), budget)
            if columns is not None:
                found.append(columns)
    if not found:
        raise TileSizeError(
            f"the narrowest column with its halo {used.halo} does not fit into half of the free memory, "
            f"{budget / 2**30:.1f} GiB: close other programs, use a shallower level, or a smaller halo"
        )
    return min(found, key=lambda columns: columns.equal_pixels)


def _widest_within(columns: Columns, budget: float) -> Columns | None:
    """Return the widest columns that fit, or None."""
    fitting: Columns | None = columns
    while fitting is not None and (fitting.peak_bytes > budget or fitting.chunk_pixels > MOST_CHUNK_PIXELS):
        fitting = fitting.shortened()
    return fitting


def _slab_planes(chunk: int, storage: int) -> int:
    """Return how many planes to read at a time: whole chunks of the file, and whole chunks of what is fed."""
    both = lcm(chunk, storage)
    return both if both <= MOST_SLAB_PLANES else min(round_up(chunk, storage), max(chunk, MOST_SLAB_PLANES))
