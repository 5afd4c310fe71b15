"""What running a network costs per pixel of its input: memory and arithmetic, without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.graph import Node, block_channels, inputs_of, nodes_for, skips_of, up_channels

KERNEL = 3


def peak_values_per_pixel(config: NetworkConfig, level: int | None = None, *, keep_heads: bool = False) -> float:
    """Return how many activation values are alive at once, per pixel of the input.

    The walk repeats what the executor (`nested.py`) does: a node's joined input, the block's intermediate result and
    its result live together, beside every earlier node that is still needed.

    Parameters
    ----------
    config : NetworkConfig
    level : int, optional
        Pruning level.
    keep_heads : bool
        Whether the logits of all heads are kept (accurate mode, uncertainty).
    """
    nodes = nodes_for(config, level)
    uses_left = Counter(source for node in nodes for source in inputs_of(config, node))
    heads = len(config.levels) if keep_heads else 1
    alive: dict[Node, float] = {}
    peak = 0.0
    for node in nodes:
        share = _share_of_pixels(config, node)
        _, between, out = block_channels(config, node)
        peak = max(peak, sum(alive.values()) + share * (_joined_channels(config, node) + between + out))
        alive[node] = share * out
        for source in inputs_of(config, node):
            uses_left[source] -= 1
            if not uses_left[source]:
                del alive[source]
    return peak + config.in_channels + heads * config.out_channels


def _joined_channels(config: NetworkConfig, node: Node) -> int:
    """Channels of temporary inputs: the concatenation and the up-sampled part of it, or the pooled values."""
    into, _, _ = block_channels(config, node)
    return into + up_channels(config, node[0]) if skips_of(config, node) else into


def multiply_adds_per_pixel(config: NetworkConfig, level: int | None = None) -> float:
    """Return the multiply-adds of all convolutions, per pixel of the input (same padding, heads not counted)."""
    return sum(
        _share_of_pixels(config, node) * sum(multiply_adds_per_position(config, node))
        for node in nodes_for(config, level)
    )


def multiply_adds_per_position(config: NetworkConfig, node: Node) -> tuple[float, float, float]:
    """Return the multiply-adds of a node's up-sampling, first and second convolution, per position of its own grid."""
    window = KERNEL**config.spatial_dims
    into, between, out = block_channels(config, node)
    raising = _upsampling_multiply_adds(config, node[0]) if node[1] else 0.0
    return raising, window * into * between, window * between * out


def weight_values(config: NetworkConfig, level: int | None = None) -> int:
    """Return the number of weights of the nodes that a level needs (heads, biases and batch norm not counted)."""
    window = KERNEL**config.spatial_dims
    total = 0
    for node in nodes_for(config, level):
        into, between, out = block_channels(config, node)
        total += window * (into * between + between * out)
        if node[1]:
            taps = prod(config.poolings[node[0]]) if config.upsample == "transposed" else 1
            total += config.features[node[0] + 1] * up_channels(config, node[0]) * taps
    return total


def _upsampling_multiply_adds(config: NetworkConfig, level: int) -> float:
    into, out = config.features[level + 1], up_channels(config, level)
    if config.upsample == "transposed":
        return into * out  # kernel = stride: each fine position is fed from one coarse position
    return into * out / prod(config.poolings[level]) if into != out else 0.0


def _share_of_pixels(config: NetworkConfig, node: Node) -> float:
    return 1.0 / prod(prod(factors) for factors in _poolings_above(config, node))


def _poolings_above(config: NetworkConfig, node: Node) -> Sequence[Sequence[int]]:
    return config.poolings[: node[0]]
