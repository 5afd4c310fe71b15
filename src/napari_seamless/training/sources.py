"""Examples made ready for drawing patches: pixels as the model is fed them, labels, flags, and places to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cc3d
import numpy as np
import psutil
from numpy.typing import NDArray

from napari_seamless.errors import DatasetError
from napari_seamless.images.boxes import Box, as_slices, box_shape, size_of, union
from napari_seamless.images.intensity import IntensityRange, check_finite, measure_range, normalise
from napari_seamless.inference.source import Source, source_of
from napari_seamless.models.model import Model
from napari_seamless.training.examples import Example
from napari_seamless.training.planes import AnnotatedPlane
from napari_seamless.training.target_options import TargetOptions
from napari_seamless.training.windows import Indices, Window, grown

_SEEDS_PER_CLASS = 4096
_MAX_SEED_PIXELS = 2**26
_MEMORY_SHARE = 0.25
"""So much of the free memory may hold pixels and labels that patches are cut from; the rest is read each time."""


@dataclass(frozen=True, eq=False)
class PatchSource:
    """One plane of an example, for drawing patches.

    Attributes
    ----------
    plane : AnnotatedPlane
    pixels, labels, verified, cells : Window
        Channels first, in the image's own intensities; labels; flags as in `Example.read_verified`; ids of the cells
        that borders lie between.
    repeats : int
        How often each channel is fed.
    intensity_range : IntensityRange
        Of the whole image.
    anywhere : ndarray, int64, shape (n, spatial_dims)
        Some verified pixels.
    seeds : list of ndarray, int64, shape (n, spatial_dims)
        For each kind of pixel worth looking at, some of its pixels: every class but background, or for instances inside
        and border of objects.
    classes : frozenset of int
        Labels that are verified; for instances 0 and 1.
    area : int
        Number of verified pixels.
    """

    plane: AnnotatedPlane
    pixels: Window
    labels: Window
    verified: Window
    cells: Window
    repeats: int
    intensity_range: IntensityRange
    anywhere: NDArray[np.int64]
    seeds: list[NDArray[np.int64]]
    classes: frozenset[int]
    area: int

    @property
    def dataset(self) -> str:
        """Of the example."""
        return self.plane.example.dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the plane."""
        return self.plane.shape

    @property
    def voxel_size_um(self) -> tuple[float, ...] | None:
        """Along the network's axes."""
        sizes = self.plane.example.image.voxel_size_um
        return None if sizes is None else sizes[-len(self.shape) :]

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Return normalised pixels (channels fed, *spatial) at the given indices along each axis."""
        scaled = normalise(self.pixels.take(indices), self.intensity_range)
        return np.repeat(scaled, self.repeats, axis=0) if self.repeats > 1 else scaled


def prepare_sources(
    planes: Sequence[AnnotatedPlane], model: Model, targets: TargetOptions, context: Sequence[int], seed: int
) -> list[PatchSource]:
    """Make planes ready for `model`, whose patches reach up to `context` pixels beyond a verified pixel.

    Raises
    ------
    ChannelError, AxesError, DatasetError, NotFiniteError
        If an image or its labels do not fit the model, or the verified pixels hold a single class.
    """
    random = np.random.default_rng([seed, 2])
    free = int(_MEMORY_SHARE * psutil.virtual_memory().available)
    ranges: dict[int, IntensityRange] = {}
    sources = []
    for plane in planes:
        source = _prepare(plane, model, targets, context, random, free, ranges)
        free -= _kept_bytes(source)
        sources.append(source)
    _check_variety(sources, model)
    return sources


def fed_to(example: Example, model: Model) -> Source:
    """Return what of an example's image the model is fed.

    Raises
    ------
    ChannelError, AxesError
        If it does not fit the model.
    """
    return source_of(example.image, model)


def intensity_of(example: Example, model: Model, ranges: dict[int, IntensityRange]) -> IntensityRange:
    """Return an example's intensity range, measured once for each image in `ranges`."""
    if example.intensity is not None:
        return example.intensity
    key = id(example.image)
    if key not in ranges:
        fed = fed_to(example, model)
        ranges[key] = measure_range(fed.data, model.normalization, axes=fed.axes)
    return ranges[key]


def _prepare(
    plane: AnnotatedPlane,
    model: Model,
    targets: TargetOptions,
    context: Sequence[int],
    random: np.random.Generator,
    free: int,
    ranges: dict[int, IntensityRange],
) -> PatchSource:
    fed = fed_to(plane.example, model)
    data = fed.data[(slice(None), *plane.plane)]

    def read_pixels(box: Box) -> NDArray[Any]:
        block = np.asarray(data[(slice(None), *as_slices(box))])
        if block.dtype.kind == "f":
            check_finite(block, (0, *(start for start, _ in box)), "C" + fed.spatial_axes)
        return block

    anywhere, seeds, classes, area = _look_through(plane, model, random)
    around = plane.places[0]
    for place in plane.places[1:]:
        around = union(around, place)
    around = grown(around, context, plane.shape)
    needed = size_of(around) * (len(data) * data.dtype.itemsize + 13)
    kept = around if needed <= free else None
    labels = Window(plane.read_labels, kept)
    return PatchSource(
        plane=plane,
        pixels=Window(read_pixels, kept),
        labels=labels,
        cells=labels if model.task == "instances" else Window(partial(_read_cells, plane, targets.cell_class), kept),
        verified=Window(plane.read_verified, kept),
        repeats=fed.repeats,
        intensity_range=intensity_of(plane.example, model, ranges),
        anywhere=anywhere,
        seeds=seeds,
        classes=classes,
        area=area,
    )


def _read_cells(plane: AnnotatedPlane, cell_class: int | None, box: Box) -> NDArray[np.uint32]:
    """Return the connected parts of one class, or of all but background, by number.

    A part that holds together only outside of the box counts as several; boxes that are kept are as large as what is
    annotated, so that this is rare.
    """
    labels = plane.read_labels(box)
    is_cell = labels > 0 if cell_class is None else labels == cell_class
    cells = cc3d.connected_components(is_cell.astype(np.uint8), connectivity=4 if is_cell.ndim == 2 else 6)
    return cells.astype(np.uint32)


def _kept_bytes(source: PatchSource) -> int:
    windows = {id(window): window.nbytes for window in (source.pixels, source.labels, source.verified, source.cells)}
    return sum(windows.values())


def _look_through(
    plane: AnnotatedPlane, model: Model, random: np.random.Generator
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]], frozenset[int], int]:
    """Return places to look at, the classes present and the number of verified pixels.

    Of more than `_MAX_SEED_PIXELS`, evenly spread blocks are looked at, and the rest is counted as verified alike.
    """
    blocks = list(plane.blocks())
    total = sum(map(size_of, blocks))
    every = math.ceil(total / _MAX_SEED_PIXELS)
    looked_at = blocks[::every]
    anywhere: list[NDArray[np.int64]] = []
    by_kind: dict[int, list[NDArray[np.int64]]] = {}
    classes: set[int] = set()
    area = 0
    for block in looked_at:
        labels, verified = plane.read_labels(block), plane.read_verified(block) > 0
        count = int(np.count_nonzero(verified))
        if not count:
            continue
        area += count
        anywhere.append(_sample(verified, block, random))
        kinds = _kinds(labels, verified, model, plane.name)
        classes.update(kinds)
        for kind, where in kinds.items():
            if kind > 0:
                by_kind.setdefault(kind, []).append(_sample(where, block, random))
    if model.task == "instances":
        classes = {min(kind, 1) for kind in classes}
    seeds = [np.concatenate(by_kind[kind]) for kind in sorted(by_kind)]
    empty = np.zeros((0, len(plane.shape)), np.int64)
    return np.concatenate(anywhere) if anywhere else empty, seeds, frozenset(classes), area * every


def _kinds(
    labels: NDArray[np.int64], verified: NDArray[np.bool_], model: Model, name: str
) -> dict[int, NDArray[np.bool_]]:
    """Return masks of verified pixels by class; of objects: 0 outside, 1 inside, 2 next to something else."""
    if model.task == "semantic":
        present = np.unique(labels[verified])
        _check_classes(present, max(2, len(model.classes)), name)
        return {int(value): verified & (labels == value) for value in present}
    border = np.zeros(labels.shape, np.bool_)
    for axis in range(labels.ndim):
        differs = np.diff(labels, axis=axis) != 0
        border[(slice(None),) * axis + (slice(1, None),)] |= differs
    masks = {0: verified & (labels == 0), 1: verified & (labels > 0), 2: verified & (labels > 0) & border}
    return {kind: mask for kind, mask in masks.items() if mask.any()}


def _sample(where: NDArray[np.bool_], block: Box, random: np.random.Generator) -> NDArray[np.int64]:
    positions = np.flatnonzero(where)
    chosen = random.choice(positions, size=min(len(positions), _SEEDS_PER_CLASS), replace=False)
    local = np.stack(np.unravel_index(chosen, box_shape(block)), axis=1)
    found: NDArray[np.int64] = local + np.array([start for start, _ in block])
    return found


def _check_classes(present: NDArray[np.int64], n_classes: int, name: str) -> None:
    largest = int(present.max(initial=0))
    if largest >= n_classes:
        raise DatasetError(
            f"semantic labels hold class indices 0..{n_classes - 1}, but {name} holds the value {largest}: "
            "give the model one more class for each, use task 'instances' when the values count objects, or name the "
            "value with `ignore` when it means 'not annotated'"
        )


def _check_variety(sources: Sequence[PatchSource], model: Model) -> None:
    classes = frozenset[int]().union(*(source.classes for source in sources))
    if not classes:
        raise DatasetError("no verified pixel is left for training: mark another place as right")
    if classes == {0}:
        raise DatasetError(
            "all verified labels are empty (0 everywhere): there is nothing to learn, annotate some objects first"
        )
    if len(classes) == 1:
        (only,) = classes
        what = "objects" if model.task == "instances" else f"class {only}"
        raise DatasetError(
            f"all verified pixels hold one class only ({what}): the network must see what is not, too; mark a slice or "
            "a box as right, background included"
        )
