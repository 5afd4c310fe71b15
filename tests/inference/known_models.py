"""Models for tests: with batch-norm statistics that matter, and networks whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from napari_seamless.images.intensity import Normalization
from napari_seamless.models.model import Model, create_model
from napari_seamless.models.price_list import LevelPrice
from napari_seamless.networks.config import NetworkConfig


def random_model(config: NetworkConfig, *, seed: int = 0, **settings: Any) -> Model:
    """A model with random weights, biases and running statistics."""
    model = create_model(config, seed=seed, **settings)
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, tensor in model.network.state_dict().items():
        weights[name] = tensor
        if name.endswith("running_var"):
            weights[name] = torch.rand(tensor.shape, generator=generator) + 0.5
        elif name.endswith(("running_mean", "bias")):
            weights[name] = torch.randn(tensor.shape, generator=generator) * 0.2
    return model.with_weights(weights)


def priced(model: Model, *scores: float) -> Model:
    """The model with a price list of these scores, one for each level."""
    rows = zip(model.config.levels, scores, strict=True)
    prices = [LevelPrice(level=level, score=score, ms_per_megapixel=level, parameters=level) for level, score in rows]
    return replace(model, price_list=tuple(prices))


def threshold_model(threshold: float = 0.5, *, spatial_dims: int = 2, **settings: Any) -> Model:
    """A model whose class is 1 exactly where the normalised image exceeds `threshold`.

    The two convolutions of x_0_0 pass the pixel on in channel 0, the decoder passes its skip on, and the head compares
    it with the threshold; everything else is zero.
    """
    config = NetworkConfig(spatial_dims=spatial_dims, features=(1, 1), norm="none")
    model = create_model(config, normalization=Normalization(0.0, 100.0), **settings)
    weights = {name: torch.zeros_like(tensor) for name, tensor in model.network.state_dict().items()}
    centre = (0, 0, *(1,) * spatial_dims)
    for name in ("blocks.x_0_0.0", "blocks.x_0_0.2", "blocks.x_0_1.0", "blocks.x_0_1.2"):
        weights[f"{name}.weight"][centre] = 1.0
    scale = 50.0
    weights["classifiers.1.weight"][1] = scale
    weights["classifiers.1.bias"][1] = -scale * threshold
    return model.with_weights(weights)


def reference(
    model: Model, image: torch.Tensor, context: list[int], sizes: list[int], level: int | None
) -> torch.Tensor:
    """The network run once on the whole mirror-extended image, made with nothing but torch."""
    for axis, (before, total) in enumerate(zip(context, sizes, strict=True), start=1):
        positions = torch.arange(-before, total - before)
        length = image.shape[axis]
        if length == 1:
            positions = torch.zeros_like(positions)
        else:
            period = 2 * (length - 1)
            positions = positions.remainder(period)
            positions = torch.minimum(positions, period - positions)
        image = image.index_select(axis, positions)
    with torch.inference_mode():
        network: nn.Module = model.network
        logits: torch.Tensor = network(image[None].to(next(network.parameters()).dtype), level)
    return logits.softmax(1)[0]
