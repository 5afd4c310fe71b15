"""What a model remembers of its examples, so that its children can rehearse it; bounded in number and size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_seamless.images.boxes import Box
from napari_seamless.images.intensity import IntensityRange
from napari_seamless.models.model import Model
from napari_seamless.models.remembered import MAX_BYTES, MAX_PATCHES, RememberedPatch, Role
from napari_seamless.training.examples import Example
from napari_seamless.training.planes import AnnotatedPlane
from napari_seamless.training.setup import TrainingSetup

PATCH_SIDE = {2: 256, 3: 64}
"""Largest side of a remembered patch."""

VALIDATION_SHARE = 0.25
"""So many of the patches are of places that were held out."""


def recalled(model: Model) -> list[Example]:
    """Return what a model remembers as examples."""
    return [
        Example(
            patch.pixels,
            patch.labels,
            patch.verified,
            patch.axes,
            name=patch.name,
            dataset=patch.dataset,
            role=patch.role,
            rehearsed=True,
            intensity=patch.intensity,
        )
        for patch in model.load_examples()
    ]


def remembered(setup: TrainingSetup, known: Sequence[RememberedPatch], seed: int) -> tuple[RememberedPatch, ...]:
    """Return what a model that was trained on `setup` remembers.

    Parameters
    ----------
    setup : TrainingSetup
    known : sequence of RememberedPatch
        What its parent remembers. It keeps half of the room when there is more than fits.
    seed : int
        Which patches are taken where there are too many.
    """
    random = np.random.default_rng([seed, 4])
    n_validation = round(VALIDATION_SHARE * MAX_PATCHES)
    chosen: list[RememberedPatch] = []
    rooms: dict[Role, int] = {"train": MAX_PATCHES - n_validation, "validation": n_validation}
    for role, room in rooms.items():
        old = [patch for patch in known if patch.role == role]
        new = _new_patches(setup, role, room, random)
        kept_old = min(len(old), max(room // 2, room - len(new)))
        chosen += _some(old, kept_old, random)
        chosen += _some(new, room - kept_old, random)
    return _within_bytes(chosen, random)


def _new_patches(setup: TrainingSetup, role: Role, room: int, random: np.random.Generator) -> list[RememberedPatch]:
    places: list[tuple[AnnotatedPlane, Box, IntensityRange]]
    if role == "validation":
        places = [(place.plane, place.box, place.intensity) for place in setup.validation]
    else:
        places = [
            (source.plane, place, source.intensity_range)
            for source in setup.drawer.sources
            for place in source.plane.places
        ]
    places = [entry for entry in places if not entry[0].example.rehearsed]
    cut = [(plane, part, scale) for plane, place, scale in places for part in _parts(place)]
    if len(cut) > room:
        cut = [cut[index] for index in sorted(random.choice(len(cut), room, replace=False))]
    patches = [_patch(plane, box, scale, role) for plane, box, scale in cut]
    return [patch for patch in patches if patch is not None]


def _parts(place: Box) -> list[Box]:
    """Cut a place into boxes of at most `PATCH_SIDE`."""
    largest = PATCH_SIDE[len(place)]
    parts: list[Box] = [()]
    for start, stop in place:
        spans = [(at, min(stop, at + largest)) for at in range(start, stop, largest)]
        parts = [(*part, span) for part in parts for span in spans]
    return parts


def _patch(plane: AnnotatedPlane, box: Box, scale: IntensityRange, role: Role) -> RememberedPatch | None:
    """Read a patch of a plane; None where nothing is verified."""
    verified = plane.read_verified(box) > 0
    if not verified.any():
        return None
    image, spans = plane.example.image, dict(zip(plane.example.label_axes, plane.in_labels(box), strict=True))
    outside = plane.example.label_axes[: len(plane.plane)]
    index = tuple(
        spans[axis][0] if axis in outside else slice(*spans[axis]) if axis in spans else slice(None)
        for axis in image.axes
    )
    sizes = image.voxel_size_um
    return RememberedPatch(
        name=plane.name + " " + " ".join(f"{start}-{stop}" for start, stop in box),
        dataset=plane.example.dataset,
        role=role,
        axes="".join(axis for axis in image.axes if axis not in outside),
        pixels=np.asarray(image.data[index]),
        labels=_narrow(plane.read_labels(box)),
        verified=None if verified.all() else verified,
        voxel_size_um=None if sizes is None else sizes[-len(box) :],
        intensity=scale,
    )


def _narrow(labels: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Number ids anew where they are too large for 32 bits; classes are small."""
    if labels.max(initial=0) >= 2**32:
        ids, labels = np.unique(labels, return_inverse=True)
        labels = labels + (ids[0] != 0)
    return labels.astype(np.uint32)


def _some(patches: list[RememberedPatch], count: int, random: np.random.Generator) -> list[RememberedPatch]:
    if len(patches) <= count:
        return patches
    return [patches[index] for index in sorted(random.choice(len(patches), count, replace=False))]


def _within_bytes(patches: list[RememberedPatch], random: np.random.Generator) -> tuple[RememberedPatch, ...]:
    """Leave patches out, any of them, until the rest fits."""
    total = sum(patch.nbytes for patch in patches)
    while total > MAX_BYTES:
        total -= patches.pop(int(random.integers(len(patches)))).nbytes
    return tuple(patches)
