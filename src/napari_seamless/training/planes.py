"""Where in an example a network of a given dimension finds verified pixels: planes, and boxes in them.

A network sees the example along its own axes only: a 2D network sees a volume plane by plane, and a 3D network a series
volume by volume. Masks are looked through block by block, so they may be larger than memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.images.boxes import Box, blocks_in, box_shape, intersection, relative, size_of
from napari_seamless.training.examples import Example

CELL = 32
"""Verified pixels whose distance is smaller than about this many pixels are taken as one place."""

_BLOCK = {2: (2048, 2048), 3: (64, 512, 512)}


@dataclass(frozen=True, eq=False)
class AnnotatedPlane:
    """What of one plane of an example may be learned from.

    Attributes
    ----------
    example : Example
    plane : tuple of int
        Index along each axis of the labels that the network does not see.
    places : tuple of boxes
        Around the verified pixels, along the network's axes.
    blocked : tuple of boxes
        Pixels in these do not count, because they lie too near to what is validated.
    """

    example: Example
    plane: tuple[int, ...]
    places: tuple[Box, ...]
    blocked: tuple[Box, ...] = ()

    @property
    def name(self) -> str:
        """The example's name, and where the plane is."""
        if not self.plane:
            return self.example.name
        axes = self.example.label_axes
        return f"{self.example.name} " + " ".join(f"{axis}{at}" for axis, at in zip(axes, self.plane, strict=False))

    @property
    def shape(self) -> tuple[int, ...]:
        """The plane's shape along the network's axes."""
        return tuple(int(length) for length in self.example.labels.shape[len(self.plane) :])

    @property
    def area(self) -> int:
        """Pixels in the places, verified or not."""
        return sum(size_of(place) for place in self.places)

    def in_labels(self, box: Box) -> Box:
        """Return a box of the plane as one of the example's labels."""
        return (*((index, index + 1) for index in self.plane), *box)

    def read_labels(self, box: Box) -> NDArray[np.int64]:
        """Return the labels of a box of the plane."""
        return self.example.read_labels(self.in_labels(box)).reshape(box_shape(box))

    def read_verified(self, box: Box) -> NDArray[np.uint8]:
        """Return the flags of a box of the plane, 0 where it is blocked; see `Example.read_verified`."""
        flags = self.example.read_verified(self.in_labels(box)).reshape(box_shape(box))
        for blocked in self.blocked:
            shared = intersection(blocked, box)
            if shared is not None:
                flags[tuple(slice(*span) for span in relative(shared, box))] = 0
        return flags

    def blocks(self) -> Iterable[Box]:
        """Yield the places in blocks that fit into memory."""
        for place in self.places:
            yield from blocks_in(place, _BLOCK[len(self.shape)])


def annotated_planes(example: Example, spatial_dims: int) -> list[AnnotatedPlane]:
    """Return the planes of an example that hold verified pixels, for a network of `spatial_dims` axes."""
    outer, inner = example.whole_box[:-spatial_dims], example.whole_box[-spatial_dims:]
    found = []
    for plane in itertools.product(*(range(start, stop) for start, stop in outer)):
        whole = AnnotatedPlane(example, plane, (inner,))
        places = (inner,) if example.verified is None else _places(whole, inner)
        if places:
            found.append(AnnotatedPlane(example, plane, tuple(places)))
    return found


def _places(plane: AnnotatedPlane, box: Box) -> list[Box]:
    """Return boxes around the verified pixels of a box, one for each group of them."""
    any_verified = _coarse(plane, box)
    everything = np.ones((3,) * any_verified.ndim, np.uint8)
    groups, _ = ndimage.label(any_verified, everything)
    coarse = ndimage.find_objects(groups)
    return [_tightened(plane, _fine(cells, box)) for cells in coarse]


def _coarse(plane: AnnotatedPlane, box: Box) -> NDArray[np.uint8]:
    """Return which cells of `CELL` pixels hold a verified one."""
    cells = np.zeros([math.ceil(side / CELL) for side in box_shape(box)], np.uint8)
    step = tuple(side // CELL * CELL for side in _BLOCK[len(box)])
    for block in blocks_in(tuple((0, side) for side in box_shape(box)), step):
        here = tuple((start + first, stop + first) for (start, stop), (first, _) in zip(block, box, strict=True))
        verified = plane.read_verified(here) != 0
        for axis in range(verified.ndim):
            verified = np.logical_or.reduceat(verified, range(0, verified.shape[axis], CELL), axis=axis)
        cells[tuple(slice(start // CELL, math.ceil(stop / CELL)) for start, stop in block)] = verified
    return cells


def _fine(cells: Sequence[slice], box: Box) -> Box:
    return tuple(
        (first + part.start * CELL, min(last, first + part.stop * CELL))
        for part, (first, last) in zip(cells, box, strict=True)
    )


def _tightened(plane: AnnotatedPlane, place: Box) -> Box:
    """Return the smallest box around the verified pixels of a place, or the place where that is too large to read."""
    if size_of(place) > math.prod(_BLOCK[len(place)]):
        return place
    verified = plane.read_verified(place) != 0
    spans = []
    for axis, (first, _) in enumerate(place):
        others = tuple(other for other in range(verified.ndim) if other != axis)
        hits = np.flatnonzero(verified.any(axis=others))
        spans.append((first + int(hits[0]), first + int(hits[-1]) + 1))
    return tuple(spans)
