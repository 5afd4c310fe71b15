"""Training patches: where they are read, how their geometry is varied, and which of their pixels count.

A patch is read with mirrored surroundings where it reaches beyond the image, exactly as in prediction. Convolutions
with zero padding see zeros beyond the *patch*, which they never do beyond the inner part of a tile in prediction, so
an outer margin of the patch weighs zero in the loss: the network must not learn from pixels whose surroundings are
made of padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seamless.images.boxes import Box
from napari_seamless.inference.tiles import mirror_indices
from napari_seamless.training.augment import vary_intensity
from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.border_weights import border_weights, reach
from napari_seamless.training.sources import PatchSource
from napari_seamless.training.target_options import TargetOptions
from napari_seamless.training.targets import CONTACT_REACH, contact_weights, instance_target
from napari_seamless.training.warp import Coordinates, Warp, draw_warp, nearest_index, sample_linear

Patch = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]
"""Pixels (C, *spatial), class indices and weights (*spatial)."""

_SEEDED_SHARE = 0.7
"""Share of patches that are placed around a pixel of a class, each class as often; the others around any verified."""

REHEARSED_SHARE = 0.3

_INSTANCE_CONTEXT = 8
"""Depth inside an object is looked for so far beyond the patch; rims are thinner than that."""


@dataclass(frozen=True)
class PatchDrawer:
    """Draws batches of varied patches; the same seed gives the same batches.

    Attributes
    ----------
    sources : sequence of PatchSource
    patch_size : tuple of int
    margin : tuple of int
        Pixels along each side of the patch that weigh zero.
    augmentation : AugmentationOptions
    targets : TargetOptions
    is_instances : bool
        Whether targets are made from instance labels.
    is_colour_input : bool
    """

    sources: Sequence[PatchSource]
    patch_size: tuple[int, ...]
    margin: tuple[int, ...]
    augmentation: AugmentationOptions
    targets: TargetOptions
    is_instances: bool
    is_colour_input: bool

    def draw_batch(
        self, batch_size: int, random: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Return pixels (N, C, *patch_size), targets (N, *patch_size) and weights (N, *patch_size)."""
        probabilities = source_weights(self.sources)
        chosen = random.choice(len(self.sources), size=batch_size, p=probabilities)
        patches = [self._draw(self.sources[index], random) for index in chosen]
        pixels, targets, weights = (np.stack(parts) for parts in zip(*patches, strict=True))
        return pixels, targets.astype(np.int64), weights * self._margin_weight()

    def _margin_weight(self) -> NDArray[np.float32]:
        weights = np.zeros(self.patch_size, np.float32)
        weights[
            tuple(slice(margin, size - margin) for margin, size in zip(self.margin, self.patch_size, strict=True))
        ] = 1
        return weights

    def _draw(self, source: PatchSource, random: np.random.Generator) -> Patch:
        warp = draw_warp(self.patch_size, source.voxel_size_um, self.augmentation, random)
        context = self._context(source)
        origin = draw_origin(source, self.patch_size, self.margin, random)
        if warp is None:
            patch = self._read(source, origin, context)
        else:
            patch = self._read_warped(source, warp, origin, context)
        pixels, target, weight = self._turn(patch, source.voxel_size_um, random)
        pixels = vary_intensity(pixels, self.augmentation, random, is_colour_input=self.is_colour_input)
        return np.ascontiguousarray(pixels, np.float32), target, weight

    def _read(self, source: PatchSource, origin: Sequence[int], context: Sequence[int]) -> Patch:
        """Read a patch as it is in the image."""
        box = tuple((start, start + size) for start, size in zip(origin, self.patch_size, strict=True))
        inner = _mirrored(box, source.shape)
        outer = _mirrored(_wider(box, context), source.shape)
        target, weight = self._target(
            source, source.labels.take(outer), source.verified.take(outer), source.cells.take(outer), context
        )
        return source.read(inner), target, weight

    def _read_warped(self, source: PatchSource, warp: Warp, origin: Sequence[int], context: Sequence[int]) -> Patch:
        """Read a patch through a map from patch to image; pixels linearly, labels and flags by the nearest pixel."""
        centre = [start + (size - 1) / 2 for start, size in zip(origin, self.patch_size, strict=True)]
        coordinates = warp.coordinates(centre, self.patch_size, context)
        region = tuple((int(np.floor(along.min())), int(np.ceil(along.max())) + 1) for along in coordinates)
        for axis, (start, _) in enumerate(region):
            coordinates[axis] -= start
        indices = _mirrored(region, source.shape)
        nearest = nearest_index(coordinates, [stop - start for start, stop in region])
        target, weight = self._target(
            source,
            source.labels.take(indices)[nearest],
            source.verified.take(indices)[nearest],
            source.cells.take(indices)[nearest],
            context,
        )
        inner: Coordinates = coordinates[(slice(None), *self._inner(context))]
        return sample_linear(source.read(indices), inner), target, weight

    def _inner(self, context: Sequence[int]) -> tuple[slice, ...]:
        return tuple(slice(more, more + size) for more, size in zip(context, self.patch_size, strict=True))

    def _context(self, source: PatchSource) -> tuple[int, ...]:
        """Return how many pixels beyond the patch its target and weights depend on."""
        dims = len(self.patch_size)
        if self._weighting == "border":
            return reach(self.targets.border_sigma, self._sampling(source))
        if self.is_instances:
            return (_INSTANCE_CONTEXT,) * dims
        return (CONTACT_REACH,) * dims if self._weighting == "contacts" else (0,) * dims

    @property
    def _weighting(self) -> str:
        if self.targets.weighting == "auto":
            return "contacts" if self.is_instances else "none"
        return self.targets.weighting

    def _sampling(self, source: PatchSource) -> tuple[float, ...]:
        """Return the size of a pixel in the unit of the border weights' sigma."""
        if self.targets.border_unit == "um" and source.voxel_size_um is not None:
            return source.voxel_size_um
        return (1.0,) * len(self.patch_size)

    def _target(
        self,
        source: PatchSource,
        labels: NDArray[np.int64],
        verified: NDArray[np.uint8],
        cells: NDArray[np.integer],
        context: Sequence[int],
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Make target and weight from what lies in the patch and around it.

        They are made after warping: a rim keeps its thickness in pixels at every scale.
        """
        inner = self._inner(context)
        if self.is_instances:
            target = instance_target(labels, source.voxel_size_um, verified)[inner]
        else:
            target = np.where(verified > 0, labels, 0)[inner].astype(np.uint8)
        weight = (verified[inner] > 0).astype(np.float32)
        if self._weighting == "contacts":
            weight *= contact_weights(cells)[inner]
        elif self._weighting == "border":
            options = self.targets
            weight *= border_weights(
                cells, self._sampling(source), w0=options.border_weight, sigma=options.border_sigma
            )[inner]
        return target, weight

    def _turn(self, patch: Patch, voxel_size_um: tuple[float, ...] | None, random: np.random.Generator) -> Patch:
        """Flip and turn pixels, target and weight alike."""
        dims = len(self.patch_size)
        pixels, target, weight = patch
        if self.augmentation.flips:
            # Counted from the end, spatial axes have the same numbers with and without channels.
            axes = tuple(axis - dims for axis in range(dims) if random.random() < 0.5)
            pixels, target, weight = np.flip(pixels, axes), np.flip(target, axes), np.flip(weight, axes)
        if self.augmentation.right_angles and random.random() < 0.5:
            pairs = exchangeable_axes(self.patch_size, voxel_size_um)
            if pairs:
                first, second = (axis - dims for axis in pairs[random.integers(len(pairs))])
                pixels = np.swapaxes(pixels, first, second)
                target, weight = np.swapaxes(target, first, second), np.swapaxes(weight, first, second)
        return pixels, target, weight


def source_weights(sources: Sequence[PatchSource]) -> NDArray[np.float64]:
    """Return the probability of drawing from each source.

    Within a data set by the square root of the verified area, and between data sets by the square root of their totals:
    large images and large sets are seen more often, but do not drown out the small ones. Earlier examples that are
    rehearsed get `REHEARSED_SHARE` of the patches altogether.
    """
    weights = np.sqrt([source.area for source in sources])
    names = np.array([source.dataset for source in sources])
    for name in np.unique(names):
        total = weights[names == name].sum()
        weights[names == name] *= np.sqrt(total) / total
    rehearsed = np.array([source.plane.example.rehearsed for source in sources])
    for part, share in ((rehearsed, REHEARSED_SHARE), (~rehearsed, 1 - REHEARSED_SHARE)):
        if part.any() and not part.all():
            weights[part] *= share / weights[part].sum()
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


def exchangeable_axes(patch_size: Sequence[int], voxel_size_um: Sequence[float] | None) -> list[tuple[int, int]]:
    """Return the pairs of axes that a right-angle rotation may exchange.

    They must have one length in the patch and one voxel size; without a voxel size, Z is not exchanged, because
    microscopes see it differently.
    """
    dims = len(patch_size)
    pairs = []
    for first in range(dims):
        for second in range(first + 1, dims):
            involves_z = dims == 3 and first == 0
            if voxel_size_um is None:
                alike = not involves_z
            else:
                alike = abs(voxel_size_um[first] / voxel_size_um[second] - 1) < 0.05
            if alike and patch_size[first] == patch_size[second]:
                pairs.append((first, second))
    return pairs


def draw_origin(
    source: PatchSource, size: Sequence[int], margin: Sequence[int], random: np.random.Generator
) -> list[int]:
    """Draw where a patch starts: around a pixel of a class, or around any verified pixel.

    The patch may stick out of the image by its margin, so that the image's edges are learnt too, and further only where
    the image is smaller than the patch.
    """
    seeds = source.anywhere
    if source.seeds and random.random() < _SEEDED_SHARE:
        seeds = source.seeds[random.integers(len(source.seeds))]
    centre = seeds[random.integers(len(seeds))]
    origin = []
    for at, side, around, length in zip(centre, size, margin, source.shape, strict=True):
        start = int(at) + int(random.integers(-(side // 4), side // 4 + 1)) - side // 2
        low = min(-around, (length - side) // 2)
        origin.append(int(np.clip(start, low, max(low, length - side + around))))
    return origin


def _mirrored(box: Box, shape: Sequence[int]) -> list[NDArray[np.intp]]:
    return [mirror_indices(start, stop, length) for (start, stop), length in zip(box, shape, strict=True)]


def _wider(box: Box, context: Sequence[int]) -> Box:
    return tuple((start - more, stop + more) for (start, stop), more in zip(box, context, strict=True))
