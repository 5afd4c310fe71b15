"""Images to try the plugin on: stained tissue, and a stack of nuclei that is made on the spot."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

LayerData = tuple[Any, dict[str, Any], str]

STACK_SHAPE = (40, 256, 256)
STACK_VOXEL_UM = (1.0, 0.4, 0.4)
_N_NUCLEI = 240


def tissue() -> list[LayerData]:
    """Return the stained tissue that scikit-image ships, RGB, 512 x 512, and the stain of its nuclei alone, hidden.

    Brown antibody staining lies over the blue of the nuclei, so the blue stain is separated first, as is usual for such
    tissue (Ruifrok & Johnston 2001).
    """
    from skimage.color import rgb2hed
    from skimage.data import immunohistochemistry

    pixels = immunohistochemistry()
    stain = rgb2hed(pixels)[..., 0].clip(min=0).astype(np.float32)
    axis_labels = ("y", "x")
    return [
        (pixels, {"name": "tissue", "rgb": True, "axis_labels": axis_labels}, "image"),
        (stain, {"name": "tissue, nuclear stain", "visible": False, "axis_labels": axis_labels}, "image"),
    ]


def nuclei_stack() -> list[LayerData]:
    """Return a generated stack of fluorescent nuclei: uint16, ZYX, slices further apart than pixels."""
    attributes = {
        "name": "nuclei",
        "axis_labels": ("z", "y", "x"),
        "scale": STACK_VOXEL_UM,
        "units": ("micrometer",) * 3,
    }
    return [(make_nuclei(), attributes, "image")]


def make_nuclei(
    shape: tuple[int, int, int] = STACK_SHAPE,
    voxel_um: tuple[float, float, float] = STACK_VOXEL_UM,
    n_nuclei: int = _N_NUCLEI,
    seed: int = 0,
) -> npt.NDArray[np.uint16]:
    """Make a stack of ellipsoidal nuclei, some of them touching, with texture, blur and the noise of a camera.

    Parameters
    ----------
    shape : tuple of int
        Z, Y, X in voxels.
    voxel_um : tuple of float
        Micrometres per voxel along Z, Y, X: nuclei are round in space, so flat in voxels of an anisotropic stack.
    n_nuclei : int
    seed : int
        The same seed gives the same stack.

    Returns
    -------
    numpy.ndarray, shape `shape`, uint16
    """
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(seed)
    light = np.zeros(shape, np.float32)
    for _ in range(n_nuclei):
        _add_nucleus(light, np.asarray(voxel_um), generator)
    texture = gaussian_filter(generator.standard_normal(shape, dtype=np.float32), (1.0, 2.5, 2.5))
    light *= 1.0 + 2.0 * texture
    # A microscope blurs about three times as far along its axis as across.
    light = gaussian_filter(light, (0.9 / voxel_um[0], 0.3 / voxel_um[1], 0.3 / voxel_um[2]))
    photons = generator.poisson(np.clip(light, 0.0, None) * 160.0 + 12.0)
    camera = photons * 14.0 + generator.normal(400.0, 12.0, shape)
    return np.clip(camera, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def _add_nucleus(light: npt.NDArray[np.float32], voxel_um: npt.NDArray[Any], generator: np.random.Generator) -> None:
    """Draw one nucleus into the box around it."""
    radii_um = generator.uniform(3.2, 5.2, 3)
    centre = generator.uniform(0.0, 1.0, 3) * light.shape
    reach = np.ceil(radii_um.max() / voxel_um).astype(int)
    low = np.maximum(np.floor(centre).astype(int) - reach, 0)
    high = np.minimum(np.floor(centre).astype(int) + reach + 1, light.shape)
    axes = [np.arange(start, stop) for start, stop in zip(low, high, strict=True)]
    offsets_um = (np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) - centre) * voxel_um
    rotation, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    distance = np.sqrt((((offsets_um @ rotation) / radii_um) ** 2).sum(axis=-1))
    inside = np.clip((1.0 - distance) * 4.0, 0.0, 1.0) * generator.uniform(0.5, 1.0)
    box = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
    light[box] = np.maximum(light[box], inside)
