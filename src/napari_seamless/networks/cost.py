"""What running a network costs, memory and arithmetic, without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.graph import Node, below, block_channels, inputs_of, nodes_for, up_channels
from napari_seamless.networks.reach import Span
from napari_seamless.networks.tile_regions import TileRegions, pixels, tile_regions

KERNEL = 3


@dataclass(frozen=True)
class TileCost:
    """The cost of running a network once on a tile.

    Attributes
    ----------
    multiply_adds : float
        Of all convolutions of the nodes, each on the region it is computed for; heads not counted.
    peak_values : float
        Activation values that are alive at once, the image's and the logits' among them.
    """

    multiply_adds: float
    peak_values: float


def tile_cost(
    config: NetworkConfig, levels: Sequence[int], outer_shape: Sequence[int], wanted: Sequence[Span] | None = None
) -> TileCost:
    """Return what running a network once costs.

    The walk repeats what the executor (`nested.py`) does, with numbers of values in place of tensors.

    Parameters
    ----------
    config : NetworkConfig
    levels : sequence of int
        The heads that are wanted.
    outer_shape : sequence of int
        Pixels of the network's input along each spatial axis.
    wanted : sequence of (start, stop), optional
        The wanted part of the output, as for `tile_regions`.
    """
    walk = _Walk(config, tile_regions(config, levels, outer_shape, wanted))
    nodes = nodes_for(config, max(levels))
    uses_left = Counter(source for node in nodes for source in inputs_of(config, node))
    for node in nodes:
        walk.join(node)
        for source in inputs_of(config, node):
            uses_left[source] -= 1
            if not uses_left[source]:
                walk.forget(source)
        walk.convolve(node, is_head=node[0] == 0 and node[1] in levels)
    return TileCost(walk.multiply_adds, walk.peak)


class _Walk:
    """The values that are alive, and the products that were made."""

    def __init__(self, config: NetworkConfig, regions: TileRegions) -> None:
        self.config, self.regions = config, regions
        self.kept: dict[Node, float] = {}
        self.alive = float(config.in_channels * prod(regions.outer_shape))
        self.joined = self.peak = self.multiply_adds = 0.0

    def join(self, node: Node) -> None:
        """Put a node's input together: from the image, by pooling, or by raising what lies below it."""
        level, column = node
        into, _, _ = block_channels(self.config, node)
        joined = self.regions.joined[node]
        self.joined = float(into * pixels(joined))
        if column:
            self._note(self._raise(node) + self.joined)
        elif level:
            _, pooled = self.regions.whole_windows(level - 1, self.regions.made[(level - 1, 0)])
            self._note(into * pixels(pooled) + (self.joined if pooled != joined else 0))
        elif joined == self.regions.image:
            self.joined = 0.0  # the image itself

    def _raise(self, node: Node) -> float:
        """Raise what lies below a node; return the values that this gives."""
        config, level, held = self.config, node[0], self.regions.made[below(node)]
        coarse = self.regions.raised_from(node, held)
        windows = tuple(grid.windows(level, span) for grid, span in zip(self.regions.grids, coarse, strict=True))
        channels = up_channels(config, level)
        copied = config.features[level + 1] * pixels(coarse) if coarse != held else 0
        changed = channels * pixels(coarse) if config.upsample != "transposed" else 0
        self._note(copied + changed + channels * pixels(windows))
        self.multiply_adds += multiply_adds_per_position(config, node)[0] * pixels(windows)
        return float(channels * pixels(windows))

    def convolve(self, node: Node, *, is_head: bool) -> None:
        """Run a node's block on what was joined, and its head."""
        config, made = self.config, pixels(self.regions.made[node])
        _, first, second = multiply_adds_per_position(config, node)
        _, between_channels, out = block_channels(config, node)
        lost = 1 if config.padding == "valid" else 0
        between_pixels = pixels(tuple((start + lost, stop - lost) for start, stop in self.regions.joined[node]))
        between = between_channels * between_pixels
        self.multiply_adds += first * between_pixels + second * made
        self._note(self.joined + between)
        self._note(between + out * made)
        self.kept[node] = out * made
        self.alive += out * made
        if is_head:
            self.alive += config.out_channels * made
            self._note(0)

    def forget(self, node: Node) -> None:
        """Let go of a node's result."""
        self.alive -= self.kept.pop(node)

    def _note(self, more: float) -> None:
        self.peak = max(self.peak, self.alive + more)


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
