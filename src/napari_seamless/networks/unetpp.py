"""UNet++."""

from __future__ import annotations

from napari_seamless.networks.nested import NestedNetwork


class UNetPlusPlus(NestedNetwork):
    """UNet++ (Zhou 2018, arXiv 1807.10165): nested, dense skips, one head for each level, pruned at run time.

    ``network(image, level=j)`` runs the nodes ``level + column <= j`` only and gives bitwise what head j of the full
    network gives; its halo is that of depth j, so pruning saves arithmetic and context.
    """
