"""The one executor behind U-Net and UNet++: runs the nodes of `graph.py`, each once, and forgets each after its last
use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_seamless.networks.blocks import (
    DoubleConvolution,
    Upsample,
    classifier,
    initialise,
    pool,
    pool_with_positions,
)
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.graph import Node, below, inputs_of, node_name, nodes_for, skips_of
from napari_seamless.networks.reach import Span
from napari_seamless.networks.tile_regions import Region, TileRegions, tile_regions


class NestedNetwork(nn.Module):
    """A network of blocks on nested grids; see `UNet` and `UNetPlusPlus`.

    Parameters
    ----------
    config : NetworkConfig
    level : int, optional
        Build only what the head of this level (and of shallower ones) needs: deeper nodes get no weights at all.

    Raises
    ------
    LevelError
        If the configuration has no head at `level`.
    """

    def __init__(self, config: NetworkConfig, level: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.deepest_level = config.resolve_level(level)
        nodes = nodes_for(config, self.deepest_level)
        self.blocks = nn.ModuleDict({node_name(node): DoubleConvolution(config, node) for node in nodes})
        self.upsamples = nn.ModuleDict({node_name(node): Upsample(config, node[0]) for node in nodes if node[1]})
        self.dropout = nn.Dropout(config.dropout)
        self.classifiers = nn.ModuleDict(
            {str(head): classifier(config) for head in config.levels if head <= self.deepest_level}
        )
        initialise(self)

    def forward(self, image: Tensor, level: int | None = None, wanted: Sequence[Span] | None = None) -> Tensor:
        """Return the logits of one head.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, *spatial)
            Spatial sizes that `geometry(config, level)` accepts.
        level : int, optional
            Which head; the deepest one by default. Nodes it does not need are not run.
        wanted : sequence of (start, stop), optional
            The part of the logits that is wanted, for each spatial axis, in their own pixels: the same numbers as
            without it, for less work (`tile_regions.py`).

        Returns
        -------
        Tensor, shape (N, out_channels, *spatial)
            Without `wanted` smaller than the image by twice the crop for valid padding.

        Raises
        ------
        LevelError, TileSizeError
            For a head that is not there, and for sizes off the pooling grid.
        """
        head = self.deepest_level if level is None else self.config.resolve_level(level)
        return self._run(image, (head,), wanted)[head]

    def heads(self, image: Tensor, wanted: Sequence[Span] | None = None) -> dict[int, Tensor]:
        """Return the logits of every head, by level, each over the region that all of them cover.

        With valid padding deeper heads cover less; the others are cropped to the deepest. `wanted` is a part of that
        region, as for `forward`.
        """
        return self._run(image, tuple(sorted(int(head) for head in self.classifiers)), wanted)

    def mean_probabilities(self, image: Tensor) -> Tensor:
        """Return the mean over all heads of their class probabilities: UNet++'s accurate mode (Zhou 2018)."""
        heads = list(self.heads(image).values())
        total = heads[0].softmax(1)
        for logits in heads[1:]:
            total = total + logits.softmax(1)
        return total / len(heads)

    def _run(self, image: Tensor, levels: tuple[int, ...], wanted: Sequence[Span] | None) -> dict[int, Tensor]:
        regions = tile_regions(self.config, levels, image.shape[2:], wanted)
        nodes = nodes_for(self.config, levels[-1])
        uses_left = Counter(source for node in nodes for source in inputs_of(self.config, node))
        values: dict[Node, Placed] = {}
        positions: dict[int, Placed] = {}
        logits: dict[int, Tensor] = {}
        for node in nodes:
            joined = [self._joined(node, image, regions, values, positions)]
            for source in inputs_of(self.config, node):
                uses_left[source] -= 1
                if not uses_left[source]:
                    del values[source]
            values[node] = Placed(self._convolved(node, joined), regions.made[node])
            if node[0] == 0 and node[1] in levels:
                # A head looks at single pixels, and gives less than it reads: what is not wanted is cut after it.
                logits[node[1]] = Placed(self.classifiers[str(node[1])](values[node].values), regions.made[node]).part(
                    regions.head
                )
        return logits

    def _convolved(self, node: Node, joined: list[Tensor]) -> Tensor:
        """Run a node's block; `joined` is emptied, so that what is read goes once the first convolution is done."""
        values = joined.pop()
        for layer in self.blocks[node_name(node)].children():
            values = layer(values)
        return self.dropout(values) if node == (self.config.depth, 0) else values

    def _joined(
        self, node: Node, image: Tensor, regions: TileRegions, values: dict[Node, Placed], positions: dict[int, Placed]
    ) -> Tensor:
        """Return what a node's block reads: of the image, pooled, or skips beside what is up-sampled."""
        level, column = node
        region = regions.joined[node]
        if column:
            skips = [values[skip].part(region) for skip in skips_of(self.config, node)]
            return torch.cat([*skips, self._raised(node, regions, values[below(node)], positions).part(region)], 1)
        if level == 0:
            return Placed(image, regions.image).dense_part(region)
        return self._pooled(level, regions, values[(level - 1, 0)], positions).dense_part(region)

    def _pooled(self, level: int, regions: TileRegions, above: Placed, positions: dict[int, Placed]) -> Placed:
        factors = self.config.poolings[level - 1]
        windows, pooled_region = regions.whole_windows(level - 1, above.region)
        if self.config.upsample != "unpool":
            return Placed(pool(above.part(windows), factors), pooled_region)
        pooled, found = pool_with_positions(above.part(windows), factors)
        positions[level - 1] = Placed(found, pooled_region)
        return Placed(pooled, pooled_region)

    def _raised(self, node: Node, regions: TileRegions, under: Placed, positions: dict[int, Placed]) -> Placed:
        region = regions.raised_from(node, under.region)
        chosen = positions.pop(node[0], None)
        raised = self.upsamples[node_name(node)](
            under.dense_part(region), None if chosen is None else chosen.part(region)
        )
        return Placed(raised, regions.raised_to(node[0], region, raised.shape[2:]))


@dataclass(frozen=True)
class Placed:
    """A tensor, (N, C, *spatial), and where it lies on its node's grid."""

    values: Tensor
    region: Region

    def part(self, region: Region) -> Tensor:
        """Return a part of it, as a view."""
        part = self.values
        for axis, ((start, stop), (first, _)) in enumerate(zip(region, self.region, strict=True), start=2):
            part = part.narrow(axis, start - first, stop - start)
        return part

    def dense_part(self, region: Region) -> Tensor:
        """Return a part of it without gaps in memory: what a convolution would make of a view in any case."""
        return self.values if region == self.region else self.part(region).clone()
