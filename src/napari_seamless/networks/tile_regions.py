"""Which part of every node a tile needs: the halo shrinks on the way from the image to the logits. No torch.

The halo is what the *image* must have around a wanted region. A node needs less of it the nearer it is to the head: the
last block of a network with 4 poolings needs 2 pixels where the image needs 94. What no wanted pixel depends on is not
computed (`needed_spans` of `reach.py` says what that is), which leaves 0.7 to 0.9 of a 2D tile's arithmetic and half of
a 3D tile's.

Cutting is exact. A block runs on the region that its wanted result depends on; with same padding, zeros that
lie at a cut instead of at the tile's border reach only the 2 pixels beside it, and those are cut off before anybody
reads them. At the tile's border nothing is cut, so that a halo smaller than needed gives what it always gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.graph import Node, nodes_for
from napari_seamless.networks.reach import BLOCK_REACH, AxisGrid, Span, axis_grid, needed_spans, widen

Region = tuple[Span, ...]
"""One span for each spatial axis, on a node's own grid; plane 0 of every grid is where the tile's input begins."""


@dataclass(frozen=True)
class TileRegions:
    """Where the nodes of a network are computed for one size of tile.

    Attributes
    ----------
    outer_shape : tuple of int
        Pixels of the tile's input.
    joined : dict of Node to Region
        The region of a node's joined input that its block runs on.
    made : dict of Node to Region
        The region of the block's result: with same padding the joined one, with valid padding 2 pixels less a side.
    head : Region
        The wanted part of the logits, on the image's grid.
    grids : tuple of AxisGrid
        For each spatial axis.
    """

    outer_shape: tuple[int, ...]
    joined: dict[Node, Region]
    made: dict[Node, Region]
    head: Region
    grids: tuple[AxisGrid, ...]

    @property
    def image(self) -> Region:
        """The tile's input."""
        return tuple((0, size) for size in self.outer_shape)

    def whole_windows(self, level: int, made: Region) -> tuple[Region, Region]:
        """Return the whole pooling windows in a region of `level`, and the region that is pooled from them."""
        windows, pooled = [], []
        for grid, (start, stop) in zip(self.grids, made, strict=True):
            span = (grid.whole_windows(level, start + grid.factors[level] - 1), grid.whole_windows(level, stop))
            pooled.append(span)
            windows.append(grid.windows(level, span))
        return tuple(windows), tuple(pooled)

    def raised_from(self, node: Node, held: Region) -> Region:
        """Return the region of the node below that is up-sampled into `node`, of the region that is held of it.

        Where no more than a block's own rim would be cut off, nothing is: that would be a copy for little.
        """
        needed = [
            _clipped(grid.under(node[0], span), whole)
            for grid, span, whole in zip(self.grids, self.joined[node], held, strict=True)
        ]
        cut = max(span[0] - whole[0] for span, whole in zip(needed, held, strict=True))
        return tuple(needed) if cut > BLOCK_REACH else held

    def raised_to(self, level: int, coarse: Region, sizes: Sequence[int]) -> Region:
        """Return where a region of the level below lies on `level`, up-sampled to `sizes`."""
        spans = []
        for grid, span, size in zip(self.grids, coarse, sizes, strict=True):
            start, stop = grid.windows(level, span)
            lost = (stop - start - size) // 2  # by linear up-sampling with valid padding
            spans.append((start + lost, stop - lost))
        return tuple(spans)


def tile_regions(
    config: NetworkConfig, levels: Sequence[int], outer_shape: Sequence[int], wanted: Sequence[Span] | None = None
) -> TileRegions:
    """Return where each node must be computed.

    Parameters
    ----------
    config : NetworkConfig
    levels : sequence of int
        The heads that are wanted.
    outer_shape : sequence of int
        Pixels of the network's input along each spatial axis.
    wanted : sequence of (start, stop), optional
        The part of the deepest head's logits that is wanted, in their own pixels; by default all of it.

    Raises
    ------
    LevelError, TileSizeError
        For a head that is not there, and for sizes off the pooling grid.
    """
    span = None if wanted is None else tuple((int(start), int(stop)) for start, stop in wanted)
    return _tile_regions(config, tuple(sorted(levels)), tuple(outer_shape), span)


def across_regions(
    config: NetworkConfig, levels: Sequence[int], axis: int, sizes: Sequence[int], wanted: Sequence[Span] | None = None
) -> TileRegions:
    """Return where each node of a network that is streamed along `axis` must be computed across it.

    Parameters
    ----------
    config, levels
        See `tile_regions`.
    axis : int
        What the result says of this spatial axis does not count, nor what the following say of it.
    sizes : sequence of int
        Pixels that are fed along each spatial axis.
    wanted : sequence of (start, stop), optional
        The part of the logits that is wanted.
    """
    found = geometry(config, max(levels))
    fed = (*sizes[:axis], found.input_size(axis, 1), *sizes[axis + 1 :])
    if wanted is not None:
        whole = (0, found.output_sizes(fed)[axis])
        wanted = (*wanted[:axis], whole, *wanted[axis + 1 :])
    return tile_regions(config, levels, fed, wanted)


@lru_cache(maxsize=128)
def _tile_regions(
    config: NetworkConfig, levels: tuple[int, ...], outer_shape: tuple[int, ...], wanted: Region | None
) -> TileRegions:
    depth = levels[-1]
    found = geometry(config, depth)
    sizes = found.output_sizes(outer_shape)
    wanted = wanted or tuple((0, size) for size in sizes)
    head = tuple((start + crop, stop + crop) for (start, stop), crop in zip(wanted, found.crop, strict=True))
    grids = tuple(axis_grid(config, depth, axis, first=0) for axis in range(config.spatial_dims))
    # Whole cells of the pooling grid, so that sizes do not depend on where an image ends: kernels may round differently
    # at odd ones.
    cells = [
        _clipped((start // m * m, -(-stop // m) * m), (crop, crop + size))
        for (start, stop), m, crop, size in zip(head, found.alignment, found.crop, sizes, strict=True)
    ]
    needs = [needed_spans(config, levels, grid, span) for grid, span in zip(grids, cells, strict=True)]
    is_padded = config.padding == "same"
    joined: dict[Node, Region] = {}
    made: dict[Node, Region] = {}
    for node in nodes_for(config, depth):
        own = [prod(grid.factors[: node[0]]) for grid in grids]
        whole = [(0, size // factor) for size, factor in zip(outer_shape, own, strict=True)]
        read = [widen(need[node], BLOCK_REACH) for need in needs]
        joined[node] = tuple(map(_clipped, read, whole)) if is_padded else tuple(read)
        made[node] = joined[node] if is_padded else tuple(need[node] for need in needs)
    return TileRegions(outer_shape, joined, made, head, grids)


def pixels(region: Region) -> int:
    """Return the number of pixels of a region."""
    return prod(stop - start for start, stop in region)


def _clipped(span: Span, within: Span) -> Span:
    return (max(span[0], within[0]), min(span[1], within[1]))
