"""U-Net."""

from __future__ import annotations

from napari_seamless.networks.nested import NestedNetwork


class UNet(NestedNetwork):
    """U-Net (Ronneberger 2015, arXiv 1505.04597) and, with ``widening="before_pooling"``, 3D U-Net (Çiçek 2016).

    With ``features=(64, 128, 256, 512, 1024)``, ``padding="valid"`` and ``norm="none"`` it is the paper's network of
    31,030,658 parameters.
    """
