"""What is compared: the same weights and the same image, segmented to labels in every way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import napari_seamless as ns
from napari_seamless.images.intensity import measure_range, normalise

Contender = Callable[[], NDArray[np.uint8] | None]
"""Does the whole work and returns labels over the image's axes (the bare network returns none)."""

LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


@dataclass(frozen=True)
class Case:
    """A network at one level, and the pixels a side of its image."""

    name: str
    architecture: str
    level: int
    spatial_dims: int
    features: tuple[int, ...]
    side: int

    def model(self) -> ns.Model:
        """An untrained model: arithmetic takes as long, whatever the weights."""
        config = ns.NetworkConfig(
            architecture=self.architecture, spatial_dims=self.spatial_dims, features=self.features, out_channels=2
        )
        return ns.create_model(config, classes=("background", "cell"), seed=0)

    def network(self, device: str) -> nn.Module:
        """The model's network as other tools take it: float32, logits of one level."""
        return AtLevel(self.model().network.eval(), self.level).to(device)

    @property
    def axes(self) -> str:
        """Axes of the image."""
        return "ZYX"[-self.spatial_dims :]


class AtLevel(nn.Module):
    """A network that is asked for one level's logits."""

    def __init__(self, network: nn.Module, level: int) -> None:
        super().__init__()
        self.network, self.level = network, level

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits, (N, C, *spatial)."""
        logits: torch.Tensor = self.network(batch, self.level)
        return logits


FEATURES = (32, 64, 128, 256, 512)
CASES = (
    Case("U-Net", "unet", 4, 2, FEATURES, 4096),
    # A quarter of the pixels: with four levels and other people's float32 loops, an hour would not do for more.
    *(Case(f"UNet++ L{level}", "unetpp", level, 2, FEATURES, 2048) for level in (1, 2, 3, 4)),
    Case("3D U-Net", "unet", 3, 3, FEATURES[:4], 256),
)


def image_for(case: Case, side: int) -> NDArray[np.uint16]:
    """Noise over a gradient."""
    shape = (side,) * case.spatial_dims
    noise = np.random.default_rng(0).normal(1000, 100, shape)
    return (noise + np.arange(side)).astype(np.uint16)


def normalised(case: Case, image: NDArray[Any]) -> NDArray[np.float32]:
    """Return the image as our network sees it, so that everybody's does."""
    return normalise(image[None], measure_range(image[None], case.model().normalization))[0]
