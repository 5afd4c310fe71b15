"""What streaming a network along one axis costs per pixel of the cross-section: memory and arithmetic, without torch.

Beside `cost.py`, which says the same of tiles, this lets a plan choose between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.cost import multiply_adds_per_position
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.graph import Node, block_channels, inputs_of, up_channels
from napari_seamless.networks.reach import BLOCK_REACH, Span
from napari_seamless.networks.stream_schedule import Step, StreamSchedule

KEPT = 2
"""Planes that each convolution keeps of its input."""


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
    config: NetworkConfig, levels: Sequence[int], *, axis: int, inner: Span, chunk_planes: int
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
    """
    schedule = StreamSchedule(config, levels, axis, inner)
    first, stop = schedule.image
    return StreamCost(
        input_planes=stop - first,
        multiply_adds=_multiply_adds(schedule, axis),
        peak_values=_peak_values(config, levels, axis, inner, chunk_planes),
    )


def _multiply_adds(schedule: StreamSchedule, axis: int) -> float:
    total = 0.0
    for node in schedule.nodes:
        start, stop = schedule.spans[node]
        raising, first, second = multiply_adds_per_position(schedule.config, node)
        planes = stop - start
        work = raising * (planes + 2 * BLOCK_REACH) + first * (planes + BLOCK_REACH) + second * planes
        total += work * _share_of_cross_section(schedule.config, node[0], axis)
    return total


def _peak_values(config: NetworkConfig, levels: Sequence[int], axis: int, inner: Span, chunk_planes: int) -> float:
    """Go through a stream as `stream.py` does, with numbers of planes in place of tensors."""
    found = geometry(config, max(levels))
    # A stream that has begun and is not yet ending repeats itself: a longer one holds no more.
    settled = 2 * found.halo[axis] + 4 * max(chunk_planes, found.alignment[axis])
    schedule = StreamSchedule(config, levels, axis, (inner[0], min(inner[1], inner[0] + settled)))
    waiting = _Waiting(schedule, axis)
    first, stop = schedule.image
    peak = 0.0
    for arrived in range(first, stop, chunk_planes):
        for step in schedule.advance(min(arrived + chunk_planes, stop)):
            share = waiting.shares[step.node[0]]
            peak = max(peak, waiting.values + waiting.gathered(step))
            for source in inputs_of(config, step.node):
                waiting.forget(source)
            peak = max(peak, waiting.values + share * _convolved_values(config, step))
            waiting.add(step)
        schedule.give()
        for level in schedule.levels:
            waiting.forget((0, level))
    fed_and_given = config.in_channels + len(schedule.levels) * config.out_channels
    return peak + fed_and_given * max(chunk_planes, found.alignment[axis])


class _Waiting:
    """The values in the queues between the nodes, and those that convolutions keep."""

    def __init__(self, schedule: StreamSchedule, axis: int) -> None:
        self.schedule = schedule
        self.shares = [_share_of_cross_section(schedule.config, level, axis) for level in range(schedule.depth + 1)]
        self.held = {node: schedule.spans[node][0] for node in schedule.nodes}
        self.last_piece = dict(self.held)
        self.values = 0.0
        self._begun: set[Node] = set()

    def add(self, step: Step) -> None:
        """Take what a step made."""
        level = step.node[0]
        if step.node not in self._begun:
            into, between, _ = block_channels(self.schedule.config, step.node)
            self.values += self.shares[level] * KEPT * (into + between)
            self._begun.add(step.node)
        self.last_piece[step.node] = step.made[0]
        self.values += self.shares[level] * self.schedule.config.features[level] * _length(step.made)

    def forget(self, node: Node) -> None:
        """Let go of the planes of `node` that nothing reads any more."""
        gone = min(self.schedule.wanted_from(node), self.schedule.made_before(node)) - self.held[node]
        if gone > 0:
            self.held[node] += gone
            self.values -= self.shares[node[0]] * self.schedule.config.features[node[0]] * gone

    def gathered(self, step: Step) -> float:
        """Values that are alive while a step's input is put together: joined, and pooled or up-sampled before that."""
        config, (level, column) = self.schedule.config, step.node
        into, _, _ = block_channels(config, step.node)
        planes = _length(step.joined)
        joined = into * (planes + KEPT)
        if column:
            return self.shares[level] * (joined + up_channels(config, level) * planes)
        if level == 0:
            return self.shares[level] * joined
        start, stop = self.schedule.grid.windows(level - 1, step.joined)
        is_copied = start < self.last_piece[(level - 1, 0)]  # windows over several pieces are read as one
        above = config.features[level - 1] * (stop - start) if is_copied else 0
        return self.shares[level] * (joined + into * planes) + self.shares[level - 1] * above


def _convolved_values(config: NetworkConfig, step: Step) -> float:
    """Values that are alive in a block, per pixel of its own cross-section: each convolution's input and result."""
    into, between, out = block_channels(config, step.node)
    planes = _length(step.joined)
    first = into * (planes + KEPT) + between * planes
    second = between * (planes + KEPT) + max(between * planes, out * _length(step.made))
    return max(first, second)


def _share_of_cross_section(config: NetworkConfig, level: int, axis: int) -> float:
    factors = [pooling[other] for pooling in config.poolings[:level] for other in range(len(pooling)) if other != axis]
    return 1.0 / prod(factors)


def _length(span: Span) -> int:
    return span[1] - span[0]
