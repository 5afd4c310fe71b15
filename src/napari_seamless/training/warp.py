"""Rotation, scaling and elastic deformation of a patch, as one map from patch to image, so that pixels are interpolated
only once.

The elastic part is that of the papers: random displacements on a coarse grid, interpolated by cubic splines. In 2D a
3 x 3 grid over the patch and a standard deviation of 10 pixels (Ronneberger 2015, arXiv 1505.04597), in 3D a grid of 32
voxels and 4 voxels (Cicek 2016, arXiv 1606.06650). Lengths are those of the smallest voxel side, so that an anisotropic
stack is deformed alike in all directions. Which libraries were weighed: ``docs/dependencies.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.training.augmentation import AugmentationOptions

ELASTIC_SIGMA = {2: 10.0, 3: 4.0}
_SPACING_3D = 32.0
STEEPEST = 0.125
"""Largest standard deviation, as a share of the grid's spacing: the papers' numbers would fold small patches."""
_CHANCE = 0.5

Coordinates = NDArray[np.float32]
"""Shape (dims, *patch): where in the image each pixel of the patch comes from."""


@dataclass(frozen=True, eq=False)
class Warp:
    """A smooth map from a patch to the image, around their centres.

    Attributes
    ----------
    matrix : ndarray, shape (dims, dims)
        Steps in the image for a step in the patch.
    displacements : ndarray, shape (dims, *grid), or None
        In image pixels, on a coarse grid over the patch.
    """

    matrix: NDArray[np.float64]
    displacements: NDArray[np.float64] | None

    def coordinates(self, centre: Sequence[float], size: Sequence[int], margin: Sequence[int]) -> Coordinates:
        """Return where the pixels of the patch, and of a margin around it, come from.

        Parameters
        ----------
        centre : sequence of float
            Of the patch in the image.
        size, margin : sequence of int
            Of the patch itself, which the grid of displacements spans, and how much more is wanted on each side.
        """
        dims = len(size)
        offsets = [np.arange(-more, side + more) - (side - 1) / 2 for side, more in zip(size, margin, strict=True)]
        result = np.empty((dims, *(len(offset) for offset in offsets)), np.float32)
        for axis in range(dims):
            place = np.full((1,) * dims, centre[axis])
            for other, offset in enumerate(offsets):
                shape = [1] * dims
                shape[other] = -1
                place = place + self.matrix[axis, other] * offset.reshape(shape)
            result[axis] = place
        if self.displacements is not None:
            result += self._elastic(self.displacements, size, offsets)
        return result

    def _elastic(
        self, field: NDArray[np.float64], size: Sequence[int], offsets: Sequence[NDArray[Any]]
    ) -> NDArray[np.float32]:
        for axis, (side, offset) in enumerate(zip(size, offsets, strict=True), start=1):
            field = np.moveaxis(field, axis, -1) @ _spline_basis(field.shape[axis], side, offset)
            field = np.moveaxis(field, -1, axis)
        return field.astype(np.float32)


def _spline_basis(n_nodes: int, side: int, offset: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights (n_nodes, len(offset)) of nodes that lie at the ends of the patch and evenly between them."""
    position = np.clip((offset + (side - 1) / 2) / max(side - 1, 1), 0.0, 1.0) * (n_nodes - 1)
    nodes = np.eye(n_nodes)
    return np.stack([ndimage.map_coordinates(node, position[None], order=3, mode="mirror") for node in nodes])


def draw_warp(
    size: Sequence[int],
    voxel_size_um: Sequence[float] | None,
    options: AugmentationOptions,
    random: np.random.Generator,
) -> Warp | None:
    """Draw how a patch is warped; None when it is not.

    Parameters
    ----------
    size : sequence of int
        Of the patch.
    voxel_size_um : sequence of float, optional
    """
    dims = len(size)
    sides = np.ones(dims) if voxel_size_um is None else np.asarray(voxel_size_um, float) / min(voxel_size_um)
    matrix, is_moved = np.eye(dims), False
    if options.rotation > 0 and random.random() < _CHANCE:
        matrix, is_moved = _rotation(math.radians(random.uniform(-options.rotation, options.rotation)), sides), True
    if options.scaling > 1 and random.random() < _CHANCE:
        limit = math.log(options.scaling)
        stretch = random.uniform(-0.1, 0.1, dims) * min(1.0, limit)
        matrix, is_moved = matrix @ np.diag(np.exp(-(random.uniform(-limit, limit) + stretch))), True
    displacements = None
    if options.elastic > 0 and random.random() < _CHANCE:
        nodes = [3, 3]
        if dims == 3:
            nodes = [1 + max(1, round(side * step / _SPACING_3D)) for side, step in zip(size, sides, strict=True)]
        spacing = [side / (count - 1) for side, count in zip(size, nodes, strict=True)]
        scale = options.elastic * np.minimum(ELASTIC_SIGMA[dims] / sides, STEEPEST * np.array(spacing))
        displacements = random.standard_normal((dims, *nodes)) * scale.reshape(dims, *(1,) * dims)
    return Warp(matrix, displacements) if is_moved or displacements is not None else None


def _rotation(angle: float, sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a rotation in the plane of the last two axes, at right angles in micrometres."""
    matrix = np.eye(len(sides))
    matrix[-2:, -2:] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return matrix * sides[None, :] / sides[:, None]


def sample_linear(pixels: NDArray[np.float32], coordinates: Coordinates) -> NDArray[np.float32]:
    """Return (C, *patch) from pixels (C, *region) at coordinates in the region, linearly."""
    sampled: NDArray[np.float32] = np.stack(
        [ndimage.map_coordinates(channel, coordinates, order=1, mode="nearest") for channel in pixels]
    )
    return sampled


def nearest_index(coordinates: Coordinates, shape: Sequence[int]) -> tuple[NDArray[np.intp], ...]:
    """Return the index of the nearest pixel of a region for each pixel of the patch."""
    return tuple(
        np.clip(np.rint(along), 0, length - 1).astype(np.intp) for along, length in zip(coordinates, shape, strict=True)
    )
