"""What streaming a network along one axis costs per pixel of the cross-section: memory and arithmetic, without torch.

Beside `cost.py`, which says the same of tiles, this lets a plan choose between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.cost import multiply_adds_per_position
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.graph import Node, block_channels, inputs_of, up_channels
from napari_seamless.networks.reach import BLOCK_REACH, Span
from napari_seamless.networks.stream_schedule import Step, StreamSchedule
from napari_seamless.networks.tile_regions import Region, across_regions

KEPT = 2
"""Planes that each convolution keeps of its input."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class StreamCost:
    """The cost of one stream, per pixel of its cross-section (the outer sizes along the other axes).

    Attributes
    ----------
    input_planes : int
        Planes of the mirror-extended image that are fed: the wanted ones and the halo.
    multiply_adds : float
        Of all convolutions, heads not counted; compare with ``multiply_adds_per_pixel(config, level)`` times the
        planes of a tile's outer region.
    peak_values : float
        Activation values that are alive at once.
    """

    input_planes: int
    multiply_adds: float
    peak_values: float


def stream_cost(
    config: NetworkConfig,
    levels: Sequence[int],
    *,
    axis: int,
    inner: Span,
    chunk_planes: int,
    outer_shape: Sequence[int] | None = None,
    wanted: Sequence[Span] | None = None,
) -> StreamCost:
    """Return what a stream costs.

    Parameters
    ----------
    config : NetworkConfig
    levels : sequence of int
        The heads that are wanted.
    axis : int
        The spatial axis that is streamed.
    inner : tuple of (start, stop)
        The planes that are wanted.
    chunk_planes : int
        Planes that are fed at a time.
    outer_shape, wanted : sequence, optional
        Pixels along each spatial axis that are fed, and the part of the logits that is wanted; what they say of the
        streamed axis does not count. By default nothing is cut, and the cross-section counts as large.
    """
    profile = _profile(config, tuple(levels), axis, inner, chunk_planes)
    shares = _shares(config, levels, profile.nodes, axis, outer_shape, wanted)
    return StreamCost(
        input_planes=profile.input_planes,
        multiply_adds=float(profile.products @ shares),
        peak_values=float((profile.alive @ shares).max()) + profile.fed_and_given,
    )


def _shares(
    config: NetworkConfig,
    levels: Sequence[int],
    nodes: Sequence[Node],
    axis: int,
    outer_shape: Sequence[int] | None,
    wanted: Sequence[Span] | None,
) -> Vector:
    """Return what part of the cross-section every node joins, and what part it makes."""
    if outer_shape is None:
        shares = [_share_of_cross_section(config, level, axis) for level, _ in nodes]
        return np.array(shares + shares)
    regions = across_regions(config, levels, axis, outer_shape, wanted)
    whole = _area(regions.image, axis)
    return np.array([_area(found[node], axis) / whole for found in (regions.joined, regions.made) for node in nodes])


def _area(region: Region, axis: int) -> int:
    return prod(stop - start for other, (start, stop) in enumerate(region) if other != axis)


@dataclass(frozen=True)
class _Profile:
    """A stream's cost in multiples of the nodes' shares of the cross-section: first of what they join, then of what
    they make."""

    nodes: tuple[Node, ...]
    input_planes: int
    products: Vector
    alive: Vector
    fed_and_given: float


@lru_cache(maxsize=256)
def _profile(config: NetworkConfig, levels: tuple[int, ...], axis: int, inner: Span, chunk_planes: int) -> _Profile:
    schedule = StreamSchedule(config, levels, axis, inner)
    first, stop = schedule.image
    fed = max(chunk_planes, geometry(config, max(levels)).alignment[axis])
    return _Profile(
        nodes=schedule.nodes,
        input_planes=stop - first,
        products=_products(schedule),
        alive=_alive(config, levels, axis, inner, chunk_planes),
        fed_and_given=float((config.in_channels + len(schedule.levels) * config.out_channels) * fed),
    )


def _products(schedule: StreamSchedule) -> Vector:
    joined, made = [], []
    for node in schedule.nodes:
        start, stop = schedule.spans[node]
        raising, first, second = multiply_adds_per_position(schedule.config, node)
        planes = stop - start
        joined.append(raising * (planes + 2 * BLOCK_REACH) + first * (planes + BLOCK_REACH))
        made.append(second * planes)
    return np.array(joined + made)


def _alive(config: NetworkConfig, levels: Sequence[int], axis: int, inner: Span, chunk_planes: int) -> Vector:
    """Go through a stream as `stream.py` does, with numbers of planes in place of tensors; return what is alive, moment
    by moment."""
    found = geometry(config, max(levels))
    # A stream that has begun and is not yet ending repeats itself: a longer one holds no more.
    settled = 2 * found.halo[axis] + 4 * max(chunk_planes, found.alignment[axis])
    schedule = StreamSchedule(config, levels, axis, (inner[0], min(inner[1], inner[0] + settled)))
    waiting = _Waiting(schedule)
    first, stop = schedule.image
    moments: list[Vector] = []
    for arrived in range(first, stop, chunk_planes):
        for step in schedule.advance(min(arrived + chunk_planes, stop)):
            moments.append(waiting.values + waiting.gathered(step))
            for source in inputs_of(config, step.node):
                waiting.forget(source)
            moments.extend(waiting.values + convolved for convolved in waiting.convolved(step))
            waiting.add(step)
        schedule.give()
        for level in schedule.levels:
            waiting.forget((0, level))
    return np.array(moments)


class _Waiting:
    """The values in the queues between the nodes, and those that convolutions keep."""

    def __init__(self, schedule: StreamSchedule) -> None:
        self.schedule = schedule
        self.held = {node: schedule.spans[node][0] for node in schedule.nodes}
        self.last_piece = dict(self.held)
        self.values = np.zeros(2 * len(schedule.nodes))
        self._place = {node: place for place, node in enumerate(schedule.nodes)}
        self._begun: set[Node] = set()

    def _of(self, node: Node, *, joined: float = 0.0, made: float = 0.0) -> Vector:
        values = np.zeros_like(self.values)
        values[self._place[node]] = joined
        values[self._place[node] + len(self._place)] = made
        return values

    def add(self, step: Step) -> None:
        """Take what a step made."""
        if step.node not in self._begun:
            into, between, _ = block_channels(self.schedule.config, step.node)
            self.values += self._of(step.node, joined=KEPT * (into + between))
            self._begun.add(step.node)
        self.last_piece[step.node] = step.made[0]
        self.values += self._of(step.node, made=self.schedule.config.features[step.node[0]] * _length(step.made))

    def forget(self, node: Node) -> None:
        """Let go of the planes of `node` that nothing reads any more."""
        gone = min(self.schedule.wanted_from(node), self.schedule.made_before(node)) - self.held[node]
        if gone > 0:
            self.held[node] += gone
            self.values -= self._of(node, made=self.schedule.config.features[node[0]] * gone)

    def gathered(self, step: Step) -> Vector:
        """Values that are alive while a step's input is put together: joined, and pooled or up-sampled before that."""
        config, (level, column) = self.schedule.config, step.node
        into, _, _ = block_channels(config, step.node)
        planes = _length(step.joined)
        joined = into * (planes + KEPT)
        if column:
            return self._of(step.node, joined=joined + up_channels(config, level) * planes)
        if level == 0:
            return self._of(step.node, joined=joined)
        start, stop = self.schedule.grid.windows(level - 1, step.joined)
        source = (level - 1, 0)
        is_copied = start < self.last_piece[source]  # windows over several pieces are read as one
        above = config.features[level - 1] * (stop - start) if is_copied else 0
        return self._of(step.node, joined=joined + into * planes) + self._of(source, made=above)

    def convolved(self, step: Step) -> tuple[Vector, ...]:
        """Values that are alive in a block, at each of its convolutions: its input and its result."""
        into, between, out = block_channels(self.schedule.config, step.node)
        planes = _length(step.joined)
        read = between * (planes + KEPT)
        return (
            self._of(step.node, joined=into * (planes + KEPT) + between * planes),
            self._of(step.node, joined=read + between * planes),
            self._of(step.node, joined=read, made=out * _length(step.made)),
        )


def _share_of_cross_section(config: NetworkConfig, level: int, axis: int) -> float:
    factors = [pooling[other] for pooling in config.poolings[:level] for other in range(len(pooling)) if other != axis]
    return 1.0 / prod(factors)


def _length(span: Span) -> int:
    return span[1] - span[0]
