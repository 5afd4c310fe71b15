"""Labels to what the network learns: for instances, the classes background, rim and core.

A pixel of an object is core where it lies deeper than a certain depth inside, and rim elsewhere. Depth is counted from
the object's own border (1 for a border pixel), also where it touches another object, so the cores of touching objects
are always kept apart by two rims. The depth is capped, so that large objects are mostly core, and it is a fraction of
the object's greatest depth, so that small and thin ones keep a core. `objects.instances` goes the way back; how much
is lost on the way there and back, and how the constants were chosen: ``docs/instances.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.objects.instances import BACKGROUND, CORE, RIM
from napari_seamless.training.examples import PAINTED

RIM_DEPTH = {2: 2.0, 3: 1.0}
"""By number of axes: in coarse volumes a second voxel of rim costs more than it separates."""

RIM_FRACTION = 0.4
CONTACT_REACH = 2
CONTACT_WEIGHT = 6.0


def instance_target(
    labels: NDArray[np.integer[Any]],
    voxel_size_um: Sequence[float] | None = None,
    verified: NDArray[np.uint8] | None = None,
    *,
    rim_depth: float | None = None,
    rim_fraction: float = RIM_FRACTION,
) -> NDArray[np.uint8]:
    """Turn instance labels into background, rim and core.

    Parameters
    ----------
    labels : ndarray, integer, 2 or 3 dimensions
        One id for each object, 0 = background. The image's edge is not a border: objects go on beyond it.
    voxel_size_um : sequence of float, optional
        One per axis. Depth is measured in units of the smallest of them, so that in an anisotropic stack a rim has
        the same thickness along all axes (and at least one voxel).
    verified : ndarray, uint8, same shape, optional
        As `Example.read_verified` gives it. Nobody knows what lies beyond the verified pixels, so an object's border is
        where two verified pixels differ; painted pixels also have their border within a plane where the paint ends.
    rim_depth : float, optional
        Greatest depth of a rim, in pixels; by default 2 in 2D and 1 in 3D.
    rim_fraction : float
        Greatest depth of a rim as a fraction of the object's greatest depth.

    Returns
    -------
    ndarray, uint8, same shape
        0 background, 1 rim, 2 core. Every object has at least one core pixel.
    """
    dense, n_objects = _dense_ids(labels)
    target = np.full(labels.shape, BACKGROUND, np.uint8)
    if n_objects == 0:
        return target
    depth = _depth_inside(dense, voxel_size_um, verified)
    greatest = np.zeros(n_objects + 1, np.float32)
    np.maximum.at(greatest, dense.ravel(), depth.ravel())
    deepest = RIM_DEPTH[labels.ndim] if rim_depth is None else rim_depth
    allowed = np.minimum(deepest, rim_fraction * greatest)
    allowed[0] = np.inf
    allowed = _shallower_where_a_core_would_split(dense, depth, allowed)
    target[dense > 0] = RIM
    target[depth > allowed[dense]] = CORE
    return target


def _dense_ids(labels: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Number the ids without gaps, so that tables by id stay small."""
    ids, inverse = np.unique(labels, return_inverse=True)
    inverse = inverse.reshape(labels.shape)
    if ids[0] == 0:
        return inverse, len(ids) - 1
    return inverse + 1, len(ids)


def _depth_inside(
    dense: NDArray[np.int64], voxel_size_um: Sequence[float] | None, verified: NDArray[np.uint8] | None
) -> NDArray[np.float32]:
    """Distance to the object's nearest border pixel plus one, in units of the smallest voxel side; 0 outside."""
    border = np.zeros(dense.shape, np.bool_)
    for axis in range(dense.ndim):
        lower = (slice(None),) * axis + (slice(None, -1),)
        upper = (slice(None),) * axis + (slice(1, None),)
        differs = dense[lower] != dense[upper]
        if verified is not None:
            differs &= _is_known(verified[lower], verified[upper], is_in_plane=axis >= dense.ndim - 2)
        border[lower] |= differs
        border[upper] |= differs
    # Leaving an object means crossing its own border pixels, so the nearest border pixel is the object's own.
    sampling = None if voxel_size_um is None else np.asarray(voxel_size_um, float) / min(voxel_size_um)
    if border.any():
        depth = ndimage.distance_transform_edt(~border, sampling=sampling).astype(np.float32)
    else:
        depth = np.full(dense.shape, sum(dense.shape), np.float32)
    depth += 1
    depth[dense == 0] = 0
    return depth


def _is_known(lower: NDArray[np.uint8], upper: NDArray[np.uint8], *, is_in_plane: bool) -> NDArray[np.bool_]:
    """Whether a person said that the objects of two neighbouring pixels differ."""
    known: NDArray[np.bool_] = (lower > 0) & (upper > 0)
    if is_in_plane:
        known |= (lower == PAINTED) | (upper == PAINTED)
    return known


def _shallower_where_a_core_would_split(
    dense: NDArray[np.int64], depth: NDArray[np.float32], allowed: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Make the rims of those objects thinner whose core would otherwise fall apart, down to one pixel."""
    allowed = allowed.copy()
    while True:
        split = _objects_with_several_cores(dense, depth > allowed[dense], len(allowed))
        split &= allowed > 1.0
        if not split.any():
            return allowed
        allowed[split] = np.maximum(1.0, allowed[split] - 0.5)


def _objects_with_several_cores(dense: NDArray[np.int64], core: NDArray[np.bool_], n_ids: int) -> NDArray[np.bool_]:
    pieces = cc3d.connected_components(
        np.where(core, dense, 0).astype(np.uint32), connectivity=4 if core.ndim == 2 else 6
    )
    positions = np.flatnonzero(pieces)
    owner = np.zeros(int(pieces.max(initial=0)) + 1, np.int64)
    owner[pieces.ravel()[positions]] = dense.ravel()[positions]
    several: NDArray[np.bool_] = np.bincount(owner[1:], minlength=n_ids) > 1
    return several


def contact_weights(labels: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Return how much each pixel counts: more where two objects touch or nearly touch.

    These few pixels decide whether objects are told apart, as in the U-Net's border weight map (Ronneberger 2015, arXiv
    1505.04597). Here a pixel weighs `CONTACT_WEIGHT` when objects with different ids lie within `CONTACT_REACH` pixels
    along all axes, and 1 otherwise; it depends on nothing further away, so a crop's weights are the image's.
    """
    size = 2 * CONTACT_REACH + 1
    ids = labels.astype(np.int64)
    largest = ndimage.maximum_filter(ids, size, mode="nearest")
    absent = int(ids.max(initial=0)) + 1
    smallest = ndimage.minimum_filter(np.where(ids > 0, ids, absent), size, mode="nearest")
    near_two = (largest > 0) & (smallest < largest)
    return np.where(near_two, np.float32(CONTACT_WEIGHT), np.float32(1.0))
