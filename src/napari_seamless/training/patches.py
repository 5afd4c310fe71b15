"""Training patches: where they are read, how their geometry is varied, and which of their pixels count.

A patch is read with mirrored surroundings where it reaches beyond the image, exactly as in prediction. Convolutions
with zero padding see zeros beyond the *patch*, which they never do beyond the inner part of a tile in prediction, so
an outer margin of the patch weighs zero in the loss: the network must not learn from pixels whose surroundings are
made of padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.images.intensity import IntensityRange, measure_range, normalise
from napari_seamless.inference.source import Source, source_of
from napari_seamless.inference.tiles import mirror_indices
from napari_seamless.models.model import Model
from napari_seamless.training.augment import vary_intensity
from napari_seamless.training.dataset import TrainingExample
from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.resample import resample_linear, resample_nearest
from napari_seamless.training.targets import check_classes, contact_weights, instance_target

Patch = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]
"""Pixels (C, *spatial), class indices and weights (*spatial)."""

_SEEDS_PER_CLASS = 4096
_SEEDED_SHARE = 0.7
"""Share of patches that are placed around an annotated pixel; the others lie anywhere."""


@dataclass(frozen=True, eq=False)
class PatchSource:
    """An example made ready for drawing patches.

    Attributes
    ----------
    name, dataset : str
    pixels : ndarray, shape (C, *spatial)
        The channels that are fed, in the image's own intensities.
    repeats : int
        How often each channel is fed.
    intensity_range : IntensityRange
        Of the whole image.
    labels : ndarray, integer, shape (*spatial)
    target : ndarray, uint8, shape (*spatial)
        Class indices.
    weight : ndarray, float32, shape (*spatial), or None
        How much each pixel counts; None = all alike.
    seeds : list of ndarray, int64, shape (n, spatial_dims)
        For each class present but background, some pixels of it.
    voxel_size_um : tuple of float, or None
    """

    name: str
    dataset: str
    pixels: NDArray[Any]
    repeats: int
    intensity_range: IntensityRange
    labels: NDArray[np.integer[Any]]
    target: NDArray[np.uint8]
    weight: NDArray[np.float32] | None
    seeds: list[NDArray[np.int64]]
    voxel_size_um: tuple[float, ...] | None

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.target.size

    def read(self, index: Sequence[NDArray[np.intp]]) -> NDArray[np.float32]:
        """Return normalised pixels (channels fed, *spatial) at the given indices along each axis."""
        block = self.pixels[np.ix_(np.arange(len(self.pixels)), *index)]
        scaled = normalise(block, self.intensity_range)
        return np.repeat(scaled, self.repeats, axis=0) if self.repeats > 1 else scaled


def prepare_source(example: TrainingExample, model: Model, seed: int) -> PatchSource:
    """Read an example's pixels the way `model` is fed, measure their intensities, and make its target.

    Raises
    ------
    ChannelError, DatasetError
        If the image or its labels do not fit the model.
    """
    fed = check_example(example, model)
    pixels = np.asarray(fed.data)
    intensity_range = measure_range(pixels, model.normalization, axes=fed.axes)
    voxel_size_um = example.image.voxel_size_um
    if model.task == "instances":
        target = instance_target(example.labels, voxel_size_um)
        weight = contact_weights(example.labels)
    else:
        target, weight = example.labels.astype(np.uint8), None
    return PatchSource(
        name=example.name,
        dataset=example.dataset,
        pixels=pixels,
        repeats=fed.repeats,
        intensity_range=intensity_range,
        labels=example.labels,
        target=target,
        weight=weight,
        seeds=_class_seeds(target, np.random.default_rng([seed, 2])),
        voxel_size_um=voxel_size_um,
    )


def check_example(example: TrainingExample, model: Model) -> Source:
    """Return what of an example's image the model is fed, after checking image and labels.

    Raises
    ------
    ChannelError, DatasetError
        If they do not fit the model.
    """
    if model.task == "semantic":
        check_classes(example.labels, len(model.classes), example.name)
    return source_of(example.image, model)


def _class_seeds(target: NDArray[np.uint8], random: np.random.Generator) -> list[NDArray[np.int64]]:
    seeds = []
    for index in range(1, int(target.max(initial=0)) + 1):
        positions = np.flatnonzero(target == index)
        if len(positions):
            chosen = random.choice(positions, size=min(len(positions), _SEEDS_PER_CLASS), replace=False)
            seeds.append(np.stack(np.unravel_index(chosen, target.shape), axis=1))
    return seeds


def source_weights(sources: Sequence[PatchSource]) -> NDArray[np.float64]:
    """Return the probability of drawing from each source.

    Within a data set by the square root of the area, and between data sets by the square root of their totals: large
    images and large sets are seen more often, but do not drown out the small ones.
    """
    weights = np.sqrt([source.area for source in sources])
    names = np.array([source.dataset for source in sources])
    for name in np.unique(names):
        total = weights[names == name].sum()
        weights[names == name] *= np.sqrt(total) / total
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


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
    is_instances : bool
        Whether targets are made from instance labels.
    is_colour_input : bool
    """

    sources: Sequence[PatchSource]
    patch_size: tuple[int, ...]
    margin: tuple[int, ...]
    augmentation: AugmentationOptions
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
        factors = self._scale_factors(random)
        read_size = [max(2, round(size / factor)) for size, factor in zip(self.patch_size, factors, strict=True)]
        origin = _draw_origin(source, read_size, self.margin, random)
        index = [
            mirror_indices(start, start + size, length)
            for start, size, length in zip(origin, read_size, source.target.shape, strict=True)
        ]
        pixels = resample_linear(source.read(index), self.patch_size)
        target, weight = self._target(source, np.ix_(*index), is_scaled=tuple(read_size) != self.patch_size)
        pixels, target, weight = self._turn((pixels, target, weight), source.voxel_size_um, random)
        pixels = vary_intensity(pixels, self.augmentation, random, is_colour_input=self.is_colour_input)
        return np.ascontiguousarray(pixels, np.float32), target, weight

    def _target(
        self, source: PatchSource, region: tuple[NDArray[np.intp], ...], *, is_scaled: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        if not is_scaled:
            weight = source.weight
            return source.target[region], np.ones(self.patch_size, np.float32) if weight is None else weight[region]
        if not self.is_instances:
            return resample_nearest(source.target[region], self.patch_size), np.ones(self.patch_size, np.float32)
        # A rim keeps its thickness in pixels at every scale, so it is made anew from the resampled labels.
        labels = resample_nearest(source.labels[region], self.patch_size)
        return instance_target(labels, source.voxel_size_um), contact_weights(labels)

    def _scale_factors(self, random: np.random.Generator) -> list[float]:
        """Draw one magnification, slightly different along each axis; half of the patches keep their size."""
        limit = np.log(self.augmentation.scaling)
        if limit == 0 or random.random() < 0.5:
            return [1.0] * len(self.patch_size)
        common = random.uniform(-limit, limit)
        stretch = random.uniform(-0.1, 0.1, len(self.patch_size)) * min(1.0, limit)
        return [float(factor) for factor in np.exp(common + stretch)]

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


def _draw_origin(
    source: PatchSource, size: Sequence[int], margin: Sequence[int], random: np.random.Generator
) -> list[int]:
    """Draw where a patch starts: around an annotated pixel or anywhere.

    The patch may stick out of the image by its margin, so that the image's edges are learnt too, and further only where
    the image is smaller than the patch.
    """
    shape = source.target.shape
    lowest = [min(-around, (length - side) // 2) for length, side, around in zip(shape, size, margin, strict=True)]
    highest = [
        max(low, length - side + around) for length, side, low, around in zip(shape, size, lowest, margin, strict=True)
    ]
    if source.seeds and random.random() < _SEEDED_SHARE:
        seeds = source.seeds[random.integers(len(source.seeds))]
        centre = seeds[random.integers(len(seeds))]
        jitter = [int(random.integers(-(side // 4), side // 4 + 1)) for side in size]
        origin = [int(at) + shift - side // 2 for at, shift, side in zip(centre, jitter, size, strict=True)]
        return [int(np.clip(at, low, high)) for at, low, high in zip(origin, lowest, highest, strict=True)]
    return [int(random.integers(low, high + 1)) for low, high in zip(lowest, highest, strict=True)]
