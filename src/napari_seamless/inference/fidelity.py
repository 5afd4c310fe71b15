"""Whether a fast precision says the same as float32: the share of pixels whose class agrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_seamless.images.image import Image
from napari_seamless.inference.plan import Level, plan_segmentation
from napari_seamless.inference.run import predict_probabilities
from napari_seamless.models.model import Model

LEAST_AGREEMENT = 0.999
"""Share of pixels that must get the same class; `docs/performance.md` has what models reach."""

_SIDE = {2: 256, 3: 48}


@dataclass(frozen=True)
class FidelityReport:
    """How a precision compares with float32.

    Attributes
    ----------
    level : int
    shape : tuple of int
        Of the image, over the labels' axes.
    device, precision : str
        What was compared with float32 on the same device.
    agreement : float
        Share of pixels with the same most probable class, 0 to 1.
    largest_difference : float
        Between class probabilities.
    mean_difference : float
        Mean absolute difference of class probabilities.
    """

    level: int
    shape: tuple[int, ...]
    device: str
    precision: str
    agreement: float
    largest_difference: float
    mean_difference: float

    @property
    def faithful(self) -> bool:
        """Whether at least `LEAST_AGREEMENT` of the pixels get the same class."""
        return self.agreement >= LEAST_AGREEMENT


def fidelity_test(
    model: Model,
    image: Any = None,
    *,
    axes: str | None = None,
    level: Level = "auto",
    device: str = "auto",
    precision: str = "auto",
    seed: int = 0,
) -> FidelityReport:
    """Segment an image in a fast precision and in float32, and compare.

    Parameters
    ----------
    model : Model
    image : Image or array, optional
        By default a made-up one: bright round objects of several sizes on a dark, noisy ground.
    axes, level, device
        See `plan_segmentation`.
    precision : str
        What is compared; ``auto`` is what a run on this device would take (float32 itself where there is no native
        half precision: everything then agrees).
    seed : int
        Of the made-up image.

    Returns
    -------
    FidelityReport
    """
    if image is None:
        image = made_up_objects(model, seed)
    plan = plan_segmentation(image, model, axes=axes, level=level, device=device, precision=precision, calibrate=False)
    fast, wide = (
        predict_probabilities(image, model, axes=axes, level=level, device=plan.device, precision=one)
        for one in (plan.precision, "fp32")
    )
    difference = np.abs(fast - wide)
    return FidelityReport(
        level=plan.level,
        shape=plan.output_shape,
        device=plan.device,
        precision=plan.precision,
        agreement=float(np.mean(_classes(fast) == _classes(wide))),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
    )


def made_up_objects(model: Model, seed: int = 0) -> Image:
    """Return an image for `model`: bright round objects of several sizes on a dark, noisy ground."""
    dims = model.config.spatial_dims
    random = np.random.default_rng(seed)
    shape = (_SIDE[dims],) * dims
    channels = model.config.in_channels if model.input_kind == "channels" else 1
    grids = np.meshgrid(*(np.arange(length) for length in shape), indexing="ij")
    scene = np.zeros(shape, np.float32)
    for _ in range(40):
        centre, radius = random.uniform(0, shape[0], dims), random.uniform(4, 10)
        squared = np.sum([(grid - place) ** 2 for grid, place in zip(grids, centre, strict=True)], axis=0)
        scene = np.maximum(scene, np.where(squared < radius**2, random.uniform(0.4, 1.0), 0.0).astype(np.float32))
    blurred: NDArray[np.float32] = gaussian_filter(scene, 1.0)
    noisy = 100 + 1000 * blurred + random.normal(0, 20, (channels, *shape)).astype(np.float32)
    return Image.from_array(noisy.astype(np.float32), "C" + "ZYX"[-dims:])


def _classes(probabilities: NDArray[np.float32]) -> NDArray[Any]:
    return np.asarray(probabilities[0] > 0.5 if probabilities.shape[0] == 1 else probabilities.argmax(0))
