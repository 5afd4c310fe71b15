"""Class probabilities (background, rim, core) to objects.

A network of task ``instances`` says for every pixel whether it is background, the rim of an object or its core
(`napari_seamless.training.targets` makes that target from labels). The rims keep the cores of touching objects apart,
so every connected piece of core is one object, and growing the cores back over the rims gives the objects' outlines.

The growth is bounded (`InstanceRule.grow_steps`) and local: it looks at neighbouring pixels only, and ties are broken
by the objects' order and not by a pixel's place in the array. That is what lets `objects.stitch` compute the same
objects block by block. How good this representation can be at best: ``docs/instances.md``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import AxesError, ConfigError

BACKGROUND, RIM, CORE = 0, 1, 2
INSTANCE_CLASSES = ("background", "rim", "core")

INSTANCE_CLASSES = ("background", "rim", "core")
"""The classes of every model of task ``instances``, in the order of its output channels."""

_UNLABELLED = np.iinfo(np.uint32).max


@dataclass(frozen=True)
class InstanceRule:
    """How probabilities of (background, rim, core) become objects.

    Attributes
    ----------
    foreground_threshold : float
        A pixel is foreground where the probabilities of rim and core together exceed this.
    core_threshold : float
        A foreground pixel is core where the probability of core exceeds this.
    grow_steps : int
        For how many pixels at most a core is grown back into the foreground.
    min_size : int
        Objects of fewer pixels (voxels) than this, rim included, are dropped.

    Raises
    ------
    ConfigError
        If a threshold is not between 0 and 1, or a count is not a whole number of at least 0.
    """

    foreground_threshold: float = 0.5
    core_threshold: float = 0.5
    grow_steps: int = 8
    min_size: int = 8

    def __post_init__(self) -> None:
        for name in ("foreground_threshold", "core_threshold"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ConfigError(f"{name} must lie between 0 and 1, not {value!r}: use for example 0.5")
        for name in ("grow_steps", "min_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ConfigError(f"{name} must be a whole number of at least 0, not {value!r}: use for example 8")


def states_from_probabilities(probabilities: NDArray[Any], rule: InstanceRule) -> NDArray[np.uint8]:
    """Decide background, rim or core for every pixel.

    Parameters
    ----------
    probabilities : ndarray, float, shape (3, *spatial)
        Probabilities of background, rim and core.
    rule : InstanceRule

    Returns
    -------
    ndarray, uint8, shape (*spatial)
        0 background, 1 rim, 2 core.

    Raises
    ------
    AxesError
        If there are not exactly three channels.
    """
    if probabilities.ndim < 2 or probabilities.shape[0] != 3:
        raise AxesError(
            "instances are made of 3 channels (background, rim, core) in front of the spatial axes, "
            f"not of an array of shape {probabilities.shape}: use a model of task 'instances'"
        )
    core_probability = probabilities[CORE]
    foreground = probabilities[RIM] + core_probability > rule.foreground_threshold
    states: NDArray[np.uint8] = foreground.astype(np.uint8)
    states += foreground & (core_probability > rule.core_threshold)
    return states


def instances_from_states(states: NDArray[Any], rule: InstanceRule) -> NDArray[np.uint32]:
    """Turn a whole array of states into labelled objects: the reference for `stitch.stitch_instances`.

    Parameters
    ----------
    states : ndarray, integer, 2 or 3 dimensions
        0 background, 1 rim, 2 core.
    rule : InstanceRule

    Returns
    -------
    ndarray, uint32, same shape
        0 for background, else 1..n in raster order of each object's first core pixel.

    Raises
    ------
    AxesError
        If the array has neither 2 nor 3 dimensions.
    """
    require_two_or_three_dims(states.ndim)
    labels, first_pixels = label_cores(states)
    labels = grow_labels(labels, states > BACKGROUND, rule.grow_steps)
    areas = np.bincount(labels.ravel(), minlength=len(first_pixels) + 1)
    final_ids = compact_ids(areas, rule.min_size)
    return final_ids[labels].astype(np.uint32)


def label_cores(states: NDArray[Any]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Label the face-connected pieces of core, in raster order of their first pixels.

    Returns
    -------
    labels : ndarray, uint32, shape of `states`
        1..n, 0 elsewhere.
    first_pixels : ndarray, int64, shape (n,)
        Flat index (C order) of each piece's first pixel, ascending.
    """
    core = np.ascontiguousarray(states == CORE)
    if not core.any():
        return np.zeros(states.shape, np.uint32), np.zeros(0, np.int64)
    faces: Literal[4, 6] = 4 if core.ndim == 2 else 6
    labels, n_pieces = cc3d.connected_components(core, connectivity=faces, return_N=True, out_dtype=np.uint32)
    labels = np.ascontiguousarray(labels)
    positions = np.flatnonzero(core)
    first_pixels = np.empty(n_pieces + 1, np.int64)
    first_pixels[0] = -1
    # Written back to front: the smallest position of each label is written last and stays.
    first_pixels[labels.ravel()[positions][::-1]] = positions[::-1]
    order = np.argsort(first_pixels)
    rank = np.empty(n_pieces + 1, np.uint32)
    rank[order] = np.arange(n_pieces + 1, dtype=np.uint32)
    return rank[labels], first_pixels[order][1:]


def grow_labels(labels: NDArray[np.uint32], foreground: NDArray[np.bool_], steps: int) -> NDArray[np.uint32]:
    """Grow labels into the unlabelled foreground, one pixel a step.

    In each step every unlabelled foreground pixel takes the smallest label among its neighbours, all at once. Odd
    steps look at face neighbours and even ones at all neighbours, which together grow close to a disc. A label thus
    depends on what lies within `steps` pixels (in every direction) and on nothing else.

    Parameters
    ----------
    labels : ndarray, uint32
        0 where unlabelled; kept where it is not.
    foreground : ndarray, bool, same shape
    steps : int

    Returns
    -------
    ndarray, uint32, same shape
    """
    padded = np.pad(labels, 1)
    flat = padded.ravel()
    open_pixels = np.flatnonzero(np.pad(foreground & (labels == 0), 1))
    flat[flat == 0] = _UNLABELLED
    face_offsets, all_offsets = _neighbour_offsets(padded.shape)
    for step in range(steps):
        offsets = all_offsets if step % 2 else face_offsets
        smallest = flat[open_pixels + offsets[0]]
        for offset in offsets[1:]:
            np.minimum(smallest, flat[open_pixels + offset], out=smallest)
        reached = smallest != _UNLABELLED
        flat[open_pixels[reached]] = smallest[reached]
        open_pixels = open_pixels[~reached]
        # A step over faces alone may reach nothing that a step over corners does, so only an empty rest ends early.
        if open_pixels.size == 0:
            break
    flat[flat == _UNLABELLED] = 0
    return np.ascontiguousarray(padded[(slice(1, -1),) * labels.ndim])


def compact_ids(areas: NDArray[np.integer[Any]], min_size: int, first_id: int = 1) -> NDArray[np.uint64]:
    """Return each label's final id: 0 for background and for what is too small, the others numbered in their order.

    Parameters
    ----------
    areas : ndarray, integer, shape (n + 1,)
        Pixels of each label; entry 0 is the background's.
    min_size : int
    first_id : int
    """
    kept = areas >= max(min_size, 1)
    kept[0] = False
    final_ids = np.zeros(len(areas), np.uint64)
    final_ids[kept] = np.arange(first_id, first_id + int(kept.sum()), dtype=np.uint64)
    return final_ids


def require_two_or_three_dims(ndim: int) -> None:
    """Raise `AxesError` unless objects can be made in that many dimensions."""
    if ndim not in (2, 3):
        raise AxesError(
            f"objects are made in 2 or 3 spatial dimensions, not {ndim}: pass one plane or volume at a time"
        )


def _neighbour_offsets(shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Flat offsets to the face neighbours and to all neighbours in a C-ordered array of that shape."""
    strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    shifts = [shift for shift in itertools.product((-1, 0, 1), repeat=len(shape)) if any(shift)]
    face, every = [], []
    for shift in shifts:
        offset = sum(step * stride for step, stride in zip(shift, strides, strict=True))
        every.append(offset)
        if sum(map(abs, shift)) == 1:
            face.append(offset)
    return face, every
