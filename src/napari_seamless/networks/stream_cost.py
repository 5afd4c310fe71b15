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
    settled = 2 * found.halo[axis] + 8 * max(chunk_planes, found.alignment[axis])
    schedule = StreamSchedule(config, levels, axis, (inner[0], min(inner[1], inner[0] + settled)))
    held = {node: schedule.spans[node][0] for node in schedule.nodes}
    first, stop = schedule.image
    peak = 0.0
    for arrived in range(first, stop, chunk_planes):
        for step in schedule.advance(min(arrived + chunk_planes, stop)):
            waiting = _waiting_values(schedule, held, axis) - _values_of(config, step.node, _length(step.made), axis)
            peak = max(peak, waiting + _gathered_values(config, step, axis))
            for source in inputs_of(config, step.node):
                held[source] = max(held[source], schedule.wanted_from(source))
            waiting = _waiting_values(schedule, held, axis) - _values_of(config, step.node, _length(step.made), axis)
            peak = max(peak, waiting + _convolved_values(config, step, axis))
        schedule.give()
        for level in schedule.levels:
            held[(0, level)] = max(held[(0, level)], schedule.wanted_from((0, level)))
    fed_and_given = config.in_channels + len(schedule.levels) * config.out_channels
    return peak + fed_and_given * max(chunk_planes, found.alignment[axis])


def _waiting_values(schedule: StreamSchedule, held: dict[Node, int], axis: int) -> float:
    """Values in the queues between the nodes, and those that convolutions keep."""
    config, total = schedule.config, 0.0
    for node in schedule.nodes:
        into, between, _ = block_channels(config, node)
        total += _values_of(config, node, max(schedule.made_before(node) - held[node], 0), axis)
        total += KEPT * (into + between) * _share_of_cross_section(config, node[0], axis)
    return total


def _gathered_values(config: NetworkConfig, step: Step, axis: int) -> float:
    """Values that are alive while a step's input is put together: what is joined, and what is pooled or up-sampled."""
    level, column = step.node
    into, _, _ = block_channels(config, step.node)
    share = _share_of_cross_section(config, level, axis)
    planes = _length(step.joined)
    joined = into * (planes + KEPT)
    if column:
        return share * (joined + up_channels(config, level) * planes)
    if level == 0:
        return share * joined
    above = config.features[level - 1] * planes * config.poolings[level - 1][axis]
    return share * (joined + into * planes) + _share_of_cross_section(config, level - 1, axis) * above


def _convolved_values(config: NetworkConfig, step: Step, axis: int) -> float:
    """Values that are alive in a block: each convolution's input and result."""
    into, between, out = block_channels(config, step.node)
    planes = _length(step.joined)
    first = into * (planes + KEPT) + between * planes
    second = between * (planes + KEPT) + max(between * planes, out * _length(step.made))
    return _share_of_cross_section(config, step.node[0], axis) * max(first, second)


def _values_of(config: NetworkConfig, node: Node, planes: int, axis: int) -> float:
    return config.features[node[0]] * planes * _share_of_cross_section(config, node[0], axis)


def _share_of_cross_section(config: NetworkConfig, level: int, axis: int) -> float:
    factors = [pooling[other] for pooling in config.poolings[:level] for other in range(len(pooling)) if other != axis]
    return 1.0 / prod(factors)


def _length(span: Span) -> int:
    return span[1] - span[0]
