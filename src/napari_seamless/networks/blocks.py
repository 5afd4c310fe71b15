"""The parts of both networks: a block of two convolutions, pooling, and the four ways up. 2D and 3D are one path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.graph import Node, block_channels, up_channels

# By number of spatial dimensions. `Any`: the 2D and 3D classes ask for tuples of different static length.
_CONV: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_BATCH_NORM: dict[int, Any] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}


class DoubleConvolution(nn.Sequential):
    """Two 3x3 convolutions, each followed by batch norm (if any) and ReLU."""

    def __init__(self, config: NetworkConfig, node: Node) -> None:
        into, between, out = block_channels(config, node)
        super().__init__(*_convolution(config, into, between), *_convolution(config, between, out))


def _convolution(config: NetworkConfig, into: int, out: int) -> list[nn.Module]:
    dims = config.spatial_dims
    padding = 1 if config.padding == "same" else 0
    # Batch norm has a bias of its own.
    layers: list[nn.Module] = [_CONV[dims](into, out, 3, padding=padding, bias=config.norm == "none")]
    if config.norm == "batch":
        layers.append(_BATCH_NORM[dims](out))
    layers.append(nn.ReLU(inplace=True))
    return layers


def classifier(config: NetworkConfig) -> nn.Module:
    """Return a head: a 1x1 convolution from the finest features to the logits."""
    head: nn.Module = _CONV[config.spatial_dims](config.features[0], config.out_channels, 1)
    return head


class Upsample(nn.Module):
    """From the node below to a node's own grid, (N, C_below, ...) → (N, C_up, ... times the pooling factors)."""

    def __init__(self, config: NetworkConfig, level: int) -> None:
        super().__init__()
        dims = config.spatial_dims
        self.mode = config.upsample
        self.linear_mode = _LINEAR[dims]
        self.factors = config.poolings[level]
        self.trims_edges = config.padding == "valid"
        into, out = config.features[level + 1], up_channels(config, level)
        if self.mode == "transposed":
            bias = config.widening == "after_pooling"
            self.change: nn.Module = _TRANSPOSED[dims](into, out, self.factors, stride=self.factors, bias=bias)
        else:
            # A 1x1 convolution commutes with these up-samplings and is cheaper before them.
            self.change = _CONV[dims](into, out, 1) if into != out else nn.Identity()

    def forward(self, below: Tensor, window_positions: Tensor | None = None) -> Tensor:
        changed: Tensor = self.change(below)
        if self.mode == "transposed":
            return changed
        if self.mode == "bilinear":
            return self._linear(changed)
        spread = _repeat(changed, self.factors)
        if window_positions is None:
            return spread
        return _keep_maxima(spread, crop_to(window_positions, changed.shape[2:]), self.factors)

    def _linear(self, changed: Tensor) -> Tensor:
        scale = tuple(float(factor) for factor in self.factors)
        smooth = functional.interpolate(changed, scale_factor=scale, mode=self.linear_mode, align_corners=False)
        if not self.trims_edges:
            return smooth
        # The outermost samples were made from a clamped edge: with valid padding nothing would cover them up later.
        trimmed = [n - 2 * (factor > 1) for n, factor in zip(smooth.shape[2:], self.factors, strict=True)]
        return crop_to(smooth, trimmed)


def _repeat(values: Tensor, factors: Sequence[int]) -> Tensor:
    return functional.interpolate(values, scale_factor=tuple(float(factor) for factor in factors), mode="nearest")


def _keep_maxima(spread: Tensor, positions: Tensor, factors: Sequence[int]) -> Tensor:
    """Keep each window's value where the maximum came from, zero elsewhere (max-unpooling)."""
    spatial = spread.shape[2:]
    own_position = torch.zeros(spatial, dtype=torch.int64, device=spread.device)
    for axis, factor in enumerate(factors):
        shape = [1] * len(spatial)
        shape[axis] = spatial[axis]
        own_position = own_position * factor + (torch.arange(spatial[axis], device=spread.device) % factor).view(shape)
    chosen = _repeat(positions.to(torch.float32), factors) == own_position
    return torch.where(chosen, spread, torch.zeros((), dtype=spread.dtype, device=spread.device))


def pool(values: Tensor, factors: Sequence[int]) -> Tensor:
    """Max pooling by whole windows, (N, C, ...) → (N, C, ... / factors)."""
    function = functional.max_pool2d if len(factors) == 2 else functional.max_pool3d
    pooled: Tensor = function(values, tuple(factors))
    return pooled


def pool_with_positions(values: Tensor, factors: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Max pooling, and where in its window each maximum lies.

    The position counts within the window in C order, not within the image, so that it means the same in every tile.
    """
    function = functional.max_pool2d if len(factors) == 2 else functional.max_pool3d
    pooled, flat = function(values, tuple(factors), return_indices=True)
    coordinates = []
    for size in reversed(values.shape[2:]):
        coordinates.append(flat % size)
        flat = flat // size
    positions = torch.zeros_like(coordinates[0])
    for coordinate, factor in zip(reversed(coordinates), factors, strict=True):
        positions = positions * factor + coordinate % factor
    return pooled, positions


def crop_to(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the centre of `values` with the given spatial sizes."""
    for axis, size in enumerate(sizes, start=2):
        surplus = values.shape[axis] - size
        if surplus:
            values = values.narrow(axis, surplus // 2, size)
    return values


def initialise(network: nn.Module) -> None:
    """He initialisation: normal, std √(2/N) with N the inputs of one unit (He 2015; Ronneberger 2015); biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            # A transposed convolution with stride = kernel feeds each output pixel from `in_channels` values only.
            transposed = isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d)
            inputs = module.in_channels if transposed else module.weight[0].numel()
            nn.init.normal_(module.weight, std=(2.0 / inputs) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
