"""The seam self-test: one region under two tile grids and untiled; what a person can run to believe it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_seamless.images.image import Image
from napari_seamless.inference.plan import plan_segmentation
from napari_seamless.inference.run import predict_probabilities
from napari_seamless.models.model import Model
from napari_seamless.networks.geometry import geometry

TOLERANCE = 1e-5
"""Largest difference of probabilities, which range over 0..1, that still counts as none (float32 rounding)."""


@dataclass(frozen=True)
class SeamReport:
    """What the self-test found.

    Attributes
    ----------
    level : int
    tile_sizes : tuple of tuple of int
        The two grids that were compared with each other and with the untiled result.
    shape : tuple of int
        Of the image, over the network's spatial axes.
    device, precision : str
    largest_difference : float
        Between class probabilities, over all pixels and pairs.
    """

    level: int
    tile_sizes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    device: str
    precision: str
    largest_difference: float

    @property
    def seamless(self) -> bool:
        """Whether the results are the same up to rounding."""
        return self.largest_difference <= TOLERANCE


def seam_self_test(
    model: Model, *, level: int | None = None, device: str = "auto", precision: str = "fp32", seed: int = 0
) -> SeamReport:
    """Run a model on the same made-up image under two tile grids and untiled, and compare.

    Parameters
    ----------
    model : Model
    level : int, optional
        By default the one that runs take, `Model.auto_level`.
    device, precision, seed

    Returns
    -------
    SeamReport
    """
    depth = model.auto_level if level is None else model.config.resolve_level(level)
    found = geometry(model.config, depth)
    sizes = (
        tuple(2 * m for m in found.alignment),
        tuple(3 * m for m in found.alignment),
    )
    # Odd, so that the last tiles are cut, and several tiles of both sizes along each axis.
    repeats = {2: 4, 3: 2}[model.config.spatial_dims]
    shape = tuple(repeats * max(pair) + 1 for pair in zip(*sizes, strict=True))
    image = _textured_image(model, shape, seed)
    plan = plan_segmentation(image, model, level=depth, device=device, precision=precision, calibrate=False)
    results = [
        predict_probabilities(image, model, level=depth, device=device, precision=precision, tile_size=size)
        for size in (None, *sizes)
    ]
    pairs = ((0, 1), (0, 2), (1, 2))
    largest = max(float(np.abs(results[one] - results[other]).max()) for one, other in pairs)
    return SeamReport(depth, sizes, shape, plan.device, plan.precision, largest)


def _textured_image(model: Model, shape: tuple[int, ...], seed: int) -> Image:
    random = np.random.default_rng(seed)
    channels = model.config.in_channels if model.input_kind == "channels" else 1
    pixels: NDArray[np.float32] = random.normal(size=(channels, *shape)).astype(np.float32)
    blurred = np.stack([gaussian_filter(channel, 2) for channel in pixels]) * 4 + pixels
    return Image.from_array(blurred, "C" + "ZYX"[-len(shape) :])
