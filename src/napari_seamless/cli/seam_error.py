"""What a halo smaller than exact costs: measured on a part of the image at hand, before its labels are trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_seamless.images.image import Image
    from napari_seamless.models.model import Model

# Large enough for seams to show as in a whole run, small enough to be quick beside it.
MEASURED_TILE = {2: 256, 3: 64}


def seam_error(image: Image, model: Model, plan: dict[str, Any], channel: Any) -> tuple[float, tuple[int, ...]]:
    """Return the largest difference of class probabilities between the plan's halo and the exact one.

    Parameters
    ----------
    image : Image
    model : Model
    plan : dict
        The facts of the run's plan.
    channel
        As given to the run.

    Returns
    -------
    difference : float
        Over two tiles along each axis, where the image is large enough, in the middle of the image.
    shape : tuple of int
        Pixels along each spatial axis that were compared.
    """
    from napari_seamless.inference.run import predict_probabilities

    dims = model.config.spatial_dims
    tile = [min(size, MEASURED_TILE[dims]) for size in plan["tile_size"]]
    region = _middle(image, plan["axes"], tile)
    level = "accurate" if plan["accurate"] else plan["level"]
    shared = {"channel": channel, "level": level, "device": plan["device"], "precision": plan["precision"]}
    named, exact = (
        predict_probabilities(image, model, tile_size=tuple(tile), halo=halo, region=region, **shared)
        for halo in (min(plan["halo"]), "exact")
    )
    return float(np.abs(named - exact).max()), named.shape[-dims:]


def _middle(image: Image, axes: str, tile: list[int]) -> dict[str, tuple[int, int]]:
    """Two tiles along each of the last axes, starting at a multiple of the tile, and one index along the others."""
    region = {}
    for axis, size in zip(axes, [*[0] * (len(axes) - len(tile)), *tile], strict=True):
        length = image.sizes[axis]
        if size == 0:
            region[axis] = (length // 2, length // 2 + 1)
        else:
            start = max(0, length // 2 // size - 1) * size
            region[axis] = (start, min(length, start + 2 * size))
    return region
