"""Which planes each node of a network reads, one axis at a time: integers, no torch.

A *plane* is one position along the axis; spans are half open and count on the grid of their own level. A block of two
3x3 convolutions widens a span by 2 a side. Pooling by a factor f makes plane k of the level below from the planes
``f k + o .. f k + o + f - 1``, where the offset o is 0 for same padding; with valid padding, o makes the windows begin
where the level's first plane lies. Up-sampling goes the other way, linear up-sampling reading one more plane a side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.graph import Node, below, nodes_for, skips_of

Span = tuple[int, int]
"""First plane, and the one after the last."""

BLOCK_REACH = 2
"""Pixels by which a block of two 3x3 convolutions reaches beyond its output, on each side."""


@dataclass(frozen=True)
class AxisGrid:
    """The nested grids of a network along one axis.

    Attributes
    ----------
    factors : tuple of int
        Of each pooling, the finest first.
    offsets : tuple of int
        For each pooling, the first plane of window 0.
    is_linear : bool
        Whether up-sampling is linear.
    """

    factors: tuple[int, ...]
    offsets: tuple[int, ...]
    is_linear: bool

    def windows(self, level: int, pooled: Span) -> Span:
        """Return the planes of `level` from which the given planes of the level below are pooled."""
        factor, offset = self.factors[level], self.offsets[level]
        return (factor * pooled[0] + offset, factor * pooled[1] + offset)

    def whole_windows(self, level: int, stop: int) -> int:
        """Return how far the level below can be pooled from the planes of `level` before `stop`."""
        return (stop - self.offsets[level]) // self.factors[level]

    def under(self, level: int, fine: Span) -> Span:
        """Return the planes of the level below from which the given planes of `level` are up-sampled."""
        factor, offset = self.factors[level], self.offsets[level]
        low, high = widen(fine, self.neighbours(level))
        return ((low - offset) // factor, -((offset - high) // factor))

    def up_to(self, level: int, stop: int) -> int:
        """Return how far `level` can be up-sampled from the planes of the level below before `stop`."""
        return self.factors[level] * stop + self.offsets[level] - self.neighbours(level)

    def neighbours(self, level: int) -> int:
        """Return how many planes of `level` on each side an up-sampled plane also depends on."""
        return int(self.is_linear and self.factors[level] > 1)


def axis_grid(config: NetworkConfig, depth: int, axis: int, first: int) -> AxisGrid:
    """Return the grids along one spatial axis of a network of `depth` poolings whose input starts at plane `first`."""
    factors = tuple(pooling[axis] for pooling in config.poolings[:depth])
    offsets = []
    for factor in factors:
        if config.padding == "valid":
            first += BLOCK_REACH
        offsets.append(first % factor)
        first //= factor
    return AxisGrid(factors, tuple(offsets), config.upsample == "bilinear")


def reads(config: NetworkConfig, grid: AxisGrid, node: Node, joined: Span) -> list[tuple[Node, Span]]:
    """Return what `node` reads of each of its sources for the given planes of its joined input."""
    level, column = node
    if column == 0:
        return [((level - 1, 0), grid.windows(level - 1, joined))] if level else []
    skips = [(skip, joined) for skip in skips_of(config, node)]
    # Max-unpooling also reads the windows of the contracting path: planes that this path has pooled anyway.
    return [*skips, (below(node), grid.under(level, joined))]


def needed_spans(config: NetworkConfig, levels: Iterable[int], grid: AxisGrid, inner: Span) -> dict[Node, Span]:
    """Return which planes of every node the heads of `levels` need for the planes `inner` of their logits."""
    needs: dict[Node, Span] = {(0, level): inner for level in levels}
    for node in reversed(nodes_for(config, max(needs)[1])):
        for source, span in reads(config, grid, node, widen(needs[node], BLOCK_REACH)):
            needs[source] = union(needs.get(source, span), span)
    return needs


def widen(span: Span, by: int) -> Span:
    """Return a span with `by` more planes on each side."""
    return (span[0] - by, span[1] + by)


def union(one: Span, other: Span) -> Span:
    """Return the smallest span that holds both."""
    return (min(one[0], other[0]), max(one[1], other[1]))
