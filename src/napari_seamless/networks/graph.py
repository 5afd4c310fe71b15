"""Which nodes a network has and what each one reads: the one graph behind both architectures. No torch.

A node ``(level, column)``, written ``x_{level}_{column}``, lies on the grid of `level` (0 is the image's own) and is
the result of one block. Column 0 is the contracting path. A node of a later column joins its skips, all on its own
level, with the up-sampled node below it, ``(level + 1, column - 1)``.

* UNet++ (Zhou 2018): every node with ``level + column <= depth``; skips are all earlier columns of the same level.
* U-Net (Ronneberger 2015): column 0 and the outermost diagonal ``level + column == depth``; the skip is column 0.
"""

from __future__ import annotations

from napari_seamless.networks.config import NetworkConfig

Node = tuple[int, int]


def node_name(node: Node) -> str:
    """Return the name under which a node's weights are stored, ``x_{level}_{column}``."""
    return f"x_{node[0]}_{node[1]}"


def nodes_for(config: NetworkConfig, level: int | None = None) -> tuple[Node, ...]:
    """Return the nodes that the head of `level` needs, each after the nodes it reads.

    Diagonal by diagonal: a node is run as soon as the contracting path is deep enough for it.
    """
    depth = config.resolve_level(level)
    nodes: list[Node] = []
    for diagonal in range(depth + 1):
        nodes.append((diagonal, 0))
        if config.architecture == "unetpp" or diagonal == depth:
            nodes.extend((diagonal - column, column) for column in range(1, diagonal + 1))
    return tuple(nodes)


def skips_of(config: NetworkConfig, node: Node) -> tuple[Node, ...]:
    """Return the nodes of the same level that `node` concatenates; empty for column 0."""
    level, column = node
    if config.architecture == "unetpp":
        return tuple((level, earlier) for earlier in range(column))
    return ((level, 0),) if column else ()


def below(node: Node) -> Node:
    """Return the node that is up-sampled into `node` (which is not in column 0)."""
    level, column = node
    return (level + 1, column - 1)


def inputs_of(config: NetworkConfig, node: Node) -> tuple[Node, ...]:
    """Return every node whose result `node` reads; empty for x_0_0, which reads the image."""
    level, column = node
    if column:
        return (*skips_of(config, node), below(node))
    return ((level - 1, 0),) if level else ()


def up_channels(config: NetworkConfig, level: int) -> int:
    """Return the channels that arrive at `level` from the level below, after up-sampling."""
    if config.widening == "before_pooling" and config.upsample != "unpool":
        return config.features[level + 1]
    return config.features[level]


def block_channels(config: NetworkConfig, node: Node) -> tuple[int, int, int]:
    """Return a block's channels: what goes in, what lies between its two convolutions, what comes out."""
    level, column = node
    out = config.features[level]
    if column:
        return len(skips_of(config, node)) * out + up_channels(config, level), out, out
    into = config.features[level - 1] if level else config.in_channels
    return into, out // 2 if config.widening == "before_pooling" else out, out
