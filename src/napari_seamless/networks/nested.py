"""The one executor behind U-Net and UNet++: runs the nodes of `graph.py`, each once, and forgets each after its last
use."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from napari_seamless.networks.blocks import (
    DoubleConvolution,
    Upsample,
    classifier,
    crop_to,
    initialise,
    pool,
    pool_with_positions,
)
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.graph import Node, below, inputs_of, node_name, nodes_for, skips_of


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

    def forward(self, image: Tensor, level: int | None = None) -> Tensor:
        """Return the logits of one head.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, *spatial)
            Spatial sizes that `geometry(config, level)` accepts.
        level : int, optional
            Which head; the deepest one by default. Nodes it does not need are not run.

        Returns
        -------
        Tensor, shape (N, out_channels, *spatial)
            Smaller than the image by twice the crop for valid padding.

        Raises
        ------
        LevelError, TileSizeError
            For a head that is not there, and for sizes off the pooling grid.
        """
        wanted = self.deepest_level if level is None else self.config.resolve_level(level)
        return self._run(image, wanted, (wanted,))[wanted]

    def heads(self, image: Tensor) -> dict[int, Tensor]:
        """Return the logits of every head, by level, each over the region that all of them cover.

        With valid padding deeper heads cover less; the others are cropped to the deepest.
        """
        levels = tuple(int(head) for head in self.classifiers)
        logits = self._run(image, self.deepest_level, levels)
        covered = logits[self.deepest_level].shape[2:]
        return {level: crop_to(values, covered) for level, values in logits.items()}

    def mean_probabilities(self, image: Tensor) -> Tensor:
        """Return the mean over all heads of their class probabilities: UNet++'s accurate mode (Zhou 2018)."""
        heads = list(self.heads(image).values())
        total = heads[0].softmax(1)
        for logits in heads[1:]:
            total = total + logits.softmax(1)
        return total / len(heads)

    def _run(self, image: Tensor, depth: int, levels: tuple[int, ...]) -> dict[int, Tensor]:
        geometry(self.config, depth).output_sizes(image.shape[2:])
        nodes = nodes_for(self.config, depth)
        uses_left = Counter(source for node in nodes for source in inputs_of(self.config, node))
        values: dict[Node, Tensor] = {}
        positions: dict[int, Tensor] = {}
        logits: dict[int, Tensor] = {}
        for node in nodes:
            values[node] = self._node(node, image, values, positions)
            if node[0] == 0 and node[1] in levels:
                logits[node[1]] = self.classifiers[str(node[1])](values[node])
            for source in inputs_of(self.config, node):
                uses_left[source] -= 1
                if not uses_left[source]:
                    del values[source]
        return logits

    def _node(self, node: Node, image: Tensor, values: dict[Node, Tensor], positions: dict[int, Tensor]) -> Tensor:
        name = node_name(node)
        level, column = node
        if column == 0:
            result: Tensor = self.blocks[name](self._pooled(level, image, values, positions))
            return self.dropout(result) if level == self.config.depth else result
        up: Tensor = self.upsamples[name](values[below(node)], positions.pop(level, None))
        skips = [crop_to(values[skip], up.shape[2:]) for skip in skips_of(self.config, node)]
        joined: Tensor = self.blocks[name](torch.cat([*skips, up], 1))
        return joined

    def _pooled(self, level: int, image: Tensor, values: dict[Node, Tensor], positions: dict[int, Tensor]) -> Tensor:
        if level == 0:
            return image
        above, factors = values[(level - 1, 0)], self.config.poolings[level - 1]
        if self.config.upsample != "unpool":
            return pool(above, factors)
        pooled, positions[level - 1] = pool_with_positions(above, factors)
        return pooled
