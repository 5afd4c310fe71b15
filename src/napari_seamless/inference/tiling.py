"""How large tiles should be: the largest that fit the memory and keep the machine's caches useful."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from napari_seamless.errors import TileSizeError
from napari_seamless.inference.tiles import Span, TileGrid, check_tile_size, whole_region_tile
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.cost import multiply_adds_per_pixel, tile_cost, weight_values
from napari_seamless.networks.geometry import Geometry, round_up

BYTES_PER_VALUE = {"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2}

SHARE_OF_FREE_MEMORY = 0.5
"""A run plans with this part of the memory that is free: other programs need some, and predictions are not perfect."""

MOST_OUTER_PIXELS = {2: 3 * 2**20, 3: 2**24}
"""Larger tiles save little of the halo any more, and make every step of progress and every Cancel slow.

Measured (U-Net, halo 96): megapixels a second that count grow from 0.57 at outer tiles of 704² to 0.80 at 1216², 0.85
at 1472² and 0.94 at 1984²; the network itself is as fast at every size. In 3D the halo weighs much more: at
128³ an exact halo of 48 leaves 1/64 of the work, at 256³ a quarter.
"""


HEAP_SLACK = 1.3
"""Memory a heap that stays warm holds for each byte in use: what one layer freed rarely fits the next one exactly.

Measured in 2D (glibc, tiles of 480², float32 and bf16, networks of 2 to 9 million weights): 1.1 to 1.4, once 1.6. One
tile of 160³ alone on a fresh heap took 1.0; many in a row were not measured, so 3D is counted like 2D.
"""

WEIGHT_COPIES = 2.5
"""The model's own float32 weights are copied, folded, and laid out for the device; measured: 2.2 to 2.7 copies stay."""

FIXED_BYTES = 64 * 2**20
"""Workspaces of the device's libraries, and threads."""


def network_bytes(
    config: NetworkConfig,
    level: int,
    outer_shape: Sequence[int],
    precision: str,
    *,
    keep_heads: bool = False,
    wanted: Sequence[Span] | None = None,
) -> int:
    """Return the predicted peak of the memory for running the network once on an outer region.

    Activations as `tile_cost` counts them, and the region as it is read and normalised, in float32, beside the class
    probabilities of the wanted part; what an allocator needs on top; and what does not depend on the region. The three
    constants are fitted to measured runs: docs/performance.md has predictions beside measurements.
    """
    levels = levels_run(config, level, keep_heads=keep_heads)
    activations = tile_cost(config, levels, outer_shape, wanted).peak_values * BYTES_PER_VALUE[precision]
    given = prod(outer_shape) if wanted is None else prod(stop - start for start, stop in wanted)
    around = 4 * (2 * config.in_channels * prod(outer_shape) + 2 * len(levels) * config.out_channels * given)
    return int(HEAP_SLACK * activations + around) + constant_bytes(config, level)


def constant_bytes(config: NetworkConfig, level: int) -> int:
    """Return the memory that a run takes whatever its tiles are: prepared weights, and the libraries' workspaces."""
    return int(WEIGHT_COPIES * 4 * weight_values(config, level)) + FIXED_BYTES


def levels_run(config: NetworkConfig, level: int, *, keep_heads: bool) -> tuple[int, ...]:
    """Return the heads that are run for `level`: with `keep_heads`, the shallower ones as well."""
    return tuple(one for one in config.levels if one <= level) if keep_heads else (level,)


def work_pixels(config: NetworkConfig, level: int, tiles: TileGrid, *, keep_heads: bool = False) -> float:
    """Return the pixels of network input that would cost as much as all tiles, if nothing of them were cut."""
    levels = levels_run(config, level, keep_heads=keep_heads)
    total = sum(count * tile_cost(config, levels, shape, cut).multiply_adds for count, shape, cut in tiles.kinds())
    return total / multiply_adds_per_pixel(config, level)


def choose_tile_size(
    config: NetworkConfig,
    level: int,
    region: Sequence[Span],
    used: Geometry,
    free_bytes: int,
    precision: str,
    *,
    keep_heads: bool = False,
) -> tuple[int, ...]:
    """Return the tile size for a region: one tile if it fits, else the largest near-cubic tiles that do.

    Raises
    ------
    TileSizeError
        If not even the smallest tile fits into the memory.
    """
    budget = free_bytes * SHARE_OF_FREE_MEMORY
    size = list(whole_region_tile(region, used.alignment))
    while True:
        tiles = TileGrid(tuple((0, length) for length in size), tuple(size), used)
        outer = tiles.largest_outer_shape
        needed = network_bytes(config, level, outer, precision, keep_heads=keep_heads, wanted=tiles.largest_cut)
        smallest = all(length == m for length, m in zip(size, used.alignment, strict=True))
        if needed <= budget and (prod(outer) <= MOST_OUTER_PIXELS[config.spatial_dims] or smallest):
            return _evened_out(size, region, used.alignment)
        if smallest:
            raise TileSizeError(
                f"the smallest tile {tuple(size)} with its halo {used.halo} needs {needed / 2**30:.1f} GiB, "
                f"half of the free memory is {budget / 2**30:.1f} GiB: "
                "close other programs, use a shallower level, or a smaller halo"
            )
        size = _smaller(size, used.alignment)


def _evened_out(size: Sequence[int], region: Sequence[Span], alignment: Sequence[int]) -> tuple[int, ...]:
    """Return tiles of equal size, as many: the work is the same, the memory less, and the last tile no sliver."""
    even = []
    for length, whole, m in zip(size, whole_region_tile(region, alignment), alignment, strict=True):
        count = -(-whole // length)
        even.append(round_up(-(-whole // count), m))
    return tuple(even)


def requested_tile_size(asked: int | Sequence[int], alignment: Sequence[int]) -> tuple[int, ...]:
    """Return a checked tile size with one entry for each spatial axis.

    Raises
    ------
    TileSizeError
        If it is off the pooling grid, or has another number of axes.
    """
    size = (asked,) * len(alignment) if isinstance(asked, int) else tuple(asked)
    if len(size) != len(alignment):
        raise TileSizeError(f"tile_size needs one number, or one for each of {len(alignment)} axes, not {size}")
    check_tile_size(size, alignment)
    return size


def halved(size: Sequence[int], alignment: Sequence[int]) -> tuple[int, ...] | None:
    """Return a tile size with the longest axis halved, or None if every axis is at its smallest."""
    if all(length == m for length, m in zip(size, alignment, strict=True)):
        return None
    axis = _longest(size, alignment)
    smaller = list(size)
    m = alignment[axis]
    smaller[axis] = max(m, smaller[axis] // 2 // m * m)
    return tuple(smaller)


def _smaller(size: Sequence[int], alignment: Sequence[int]) -> list[int]:
    """Shorten the longest axis by about an eighth, on the grid."""
    axis = _longest(size, alignment)
    m = alignment[axis]
    shorter = list(size)
    shorter[axis] = max(m, min(size[axis] - m, size[axis] * 7 // 8 // m * m))
    return shorter


def _longest(size: Sequence[int], alignment: Sequence[int]) -> int:
    can_shrink = [axis for axis, length in enumerate(size) if length > alignment[axis]]
    return max(can_shrink, key=lambda axis: size[axis])
