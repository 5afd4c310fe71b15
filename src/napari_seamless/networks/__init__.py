"""U-Net and UNet++ for 2 and 3 spatial dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_seamless.networks.config import NetworkConfig
    from napari_seamless.networks.nested import NestedNetwork


def build_network(config: NetworkConfig, level: int | None = None) -> NestedNetwork:
    """Build a network with fresh He-initialised weights.

    Parameters
    ----------
    config : NetworkConfig
    level : int, optional
        Build only what this pruning level needs.

    Returns
    -------
    UNet or UNetPlusPlus
        A torch module in training mode.
    """
    # Imported here so that the configuration and the geometry, which live beside it, do not load torch.
    from napari_seamless.networks.unet import UNet
    from napari_seamless.networks.unetpp import UNetPlusPlus

    return (UNet if config.architecture == "unet" else UNetPlusPlus)(config, level)


def outline_network(config: NetworkConfig, level: int | None = None) -> NestedNetwork:
    """Build a network whose weights have names, shapes and types, but take no memory (torch's device ``meta``).

    Parameters
    ----------
    config, level
        See `build_network`.
    """
    import torch

    with torch.device("meta"):
        return build_network(config, level)


def count_parameters(config: NetworkConfig, level: int | None = None) -> int:
    """Return the number of weights and biases of a network, or of the part of it that a pruning level needs."""
    return sum(parameter.numel() for parameter in outline_network(config, level).parameters())
