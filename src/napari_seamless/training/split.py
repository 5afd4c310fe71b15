"""What is held out for validation, and how far training keeps away from it.

A pixel's loss depends on the image as far as the network sees: up to the halo. So that validation does not flatter,
no training pixel counts that lies within the halo of what is validated in the same plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_seamless.errors import DatasetError
from napari_seamless.images.boxes import Box, box_shape, intersection, size_of
from napari_seamless.training.examples import Example
from napari_seamless.training.planes import AnnotatedPlane, annotated_planes
from napari_seamless.training.windows import grown

LEAST_TRAINING_SHARE = 0.5
"""A single place is divided only if so much of it stays for training."""

_LEAST_VALIDATION_SIDE = 16


@dataclass(frozen=True)
class Split:
    """What is learned from and what is validated.

    Attributes
    ----------
    training, validation : list of AnnotatedPlane
        `validation` is empty when too little is verified to hold any of it out.
    notices : tuple of str
        What the person should know about the split.
    """

    training: list[AnnotatedPlane]
    validation: list[AnnotatedPlane]
    notices: tuple[str, ...] = ()


def split_examples(
    examples: Sequence[Example], spatial_dims: int, halo: Sequence[int], fraction: float, seed: int
) -> Split:
    """Split examples for a network of `spatial_dims` axes that sees `halo` pixels far along each.

    Roles that were chosen by hand are kept. Otherwise groups are held out; of a single group planes of its stack, of a
    single plane one of its places, and of a single place its far end along the longest axis.

    Raises
    ------
    DatasetError
        If nothing is verified, or nothing is left for training.
    """
    planes = {id(one): annotated_planes(one, spatial_dims) for one in examples}
    if not any(planes.values()):
        raise DatasetError(
            "training needs verified pixels, but no pixel of any image is verified: mark a slice or a box as right, or "
            "paint into one"
        )
    parts = []
    for rehearsed in (False, True):
        training, validation = _by_example([one for one in examples if one.rehearsed == rehearsed], fraction, seed)
        part = Split(_all_planes(planes, training), _all_planes(planes, validation))
        if part.training and not part.validation and not rehearsed:
            part = _within(part.training, halo, fraction)
        parts.append(part)
    split = _kept_apart(_joined(parts), halo)
    if not split.training:
        raise DatasetError(
            "everything that is verified is for validation: mark another place as right, or choose a place for training"
        )
    return split


def split_by_group(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Split into training and validation examples so that no group is on both sides.

    Each data set gives about `fraction` of its groups, at least one when it has two or more.

    Returns
    -------
    training, validation : list of Example
        `validation` is empty when no data set has two groups.
    """
    random = np.random.default_rng([seed, 1])
    held_out: set[str] = set()
    for dataset in sorted({example.dataset for example in examples}):
        groups = sorted({example.group for example in examples if example.dataset == dataset})
        if len(groups) > 1:
            chosen = random.permutation(len(groups))[: max(1, round(fraction * len(groups)))]
            held_out.update(groups[index] for index in chosen)
    training = [example for example in examples if example.group not in held_out]
    return training, [example for example in examples if example.group in held_out]


def _by_example(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    chosen = [example for example in examples if example.role == "validation"]
    if chosen:
        return [example for example in examples if example.role != "validation"], chosen
    free = [example for example in examples if example.role is None]
    training, validation = split_by_group(free, fraction, seed)
    return [*(example for example in examples if example.role == "train"), *training], validation


def _joined(parts: Sequence[Split]) -> Split:
    return Split(
        [plane for part in parts for plane in part.training],
        [plane for part in parts for plane in part.validation],
        tuple(notice for part in parts for notice in part.notices),
    )


def _all_planes(planes: dict[int, list[AnnotatedPlane]], examples: Sequence[Example]) -> list[AnnotatedPlane]:
    return [plane for example in examples for plane in planes[id(example)]]


def _within(planes: list[AnnotatedPlane], halo: Sequence[int], fraction: float) -> Split:
    """Divide what belongs to one group: by planes, by places, or by cutting a place."""
    if len(planes) > 1:
        n_held_out = max(1, round(fraction * len(planes)))
        return Split(planes[:-n_held_out], planes[-n_held_out:])
    (plane,) = planes
    if len(plane.places) > 1:
        by_size = sorted(range(len(plane.places)), key=lambda index: size_of(plane.places[index]))
        wanted = fraction * plane.area
        held_out = min(by_size, key=lambda index: abs(size_of(plane.places[index]) - wanted))
        others = tuple(place for index, place in enumerate(plane.places) if index != held_out)
        divided = Split([replace(plane, places=others)], [replace(plane, places=(plane.places[held_out],))])
        if _verified_left(divided, halo) >= LEAST_TRAINING_SHARE:
            return divided
        return Split([plane], [], (_NOT_HELD_OUT,))
    return _cut(plane, halo, fraction)


_NOT_HELD_OUT = (
    "Too little is verified to hold any of it out, so nobody knows how good the model gets: "
    "mark a second place as right"
)


def _cut(plane: AnnotatedPlane, halo: Sequence[int], fraction: float) -> Split:
    """Hold out the far end of a single place."""
    (place,) = plane.places
    shape = box_shape(place)
    axis = max(range(len(shape)), key=lambda index: shape[index] - halo[index])
    start, stop = place[axis]
    first = stop - max(_LEAST_VALIDATION_SIDE, round(fraction * (stop - start)))
    last = first - halo[axis]
    if last - start < LEAST_TRAINING_SHARE * (stop - start):
        return Split([plane], [], (_NOT_HELD_OUT,))
    near, far = ((*place[:axis], span, *place[axis + 1 :]) for span in ((start, last), (first, stop)))
    return Split([replace(plane, places=(near,))], [replace(plane, places=(far,))])


def _kept_apart(split: Split, halo: Sequence[int]) -> Split:
    """Block the training pixels within the halo of validation places in the same plane.

    Where a person chose the roles and that would leave too little, only the validation places themselves are blocked,
    and a notice says so.
    """
    margin, notices = halo, list(split.notices)
    if split.validation and _verified_left(split, halo) < LEAST_TRAINING_SHARE:
        margin = [0] * len(halo)
        sides = " x ".join(map(str, halo))
        notices.append(
            f"Places for validation lie nearer to places for training than the network sees ({sides} pixels), so their "
            "score may flatter"
        )
    training = [replace(plane, blocked=_blocked(plane, split.validation, margin)) for plane in split.training]
    left = [plane for plane in training if any(plane.read_verified(block).any() for block in plane.blocks())]
    return Split(left, split.validation, tuple(notices))


def _blocked(plane: AnnotatedPlane, validation: Sequence[AnnotatedPlane], margin: Sequence[int]) -> tuple[Box, ...]:
    return tuple(
        grown(place, margin, plane.shape)
        for other in validation
        if other.example.image is plane.example.image and other.plane == plane.plane
        for place in other.places
    )


def _verified_left(split: Split, halo: Sequence[int]) -> float:
    """Return about which share of the training places lies outside the halo of validation."""
    total = free = 0
    for plane in split.training:
        blocked = _blocked(plane, split.validation, halo)
        for place in plane.places:
            total += size_of(place)
            shared = [part for part in (intersection(place, box) for box in blocked) if part is not None]
            free += size_of(place) - min(size_of(place), sum(size_of(part) for part in shared))
    return free / total if total else 0.0
