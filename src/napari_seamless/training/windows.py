"""Parts of lazy arrays that patches are cut from: in memory where they fit, else read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.images.boxes import Box, as_slices, contains, relative

Indices = Sequence[NDArray[np.intp]]
"""For each spatial axis the index of every row that is wanted, inside the array."""


class Window:
    """An array along its last axes, of which one box can be kept in memory.

    Parameters
    ----------
    read : callable
        Takes a box along the spatial axes and returns an array whose last axes are these.
    kept : box, optional
        Read at once and kept; what lies beyond is read each time.
    """

    def __init__(self, read: Callable[[Box], NDArray[Any]], kept: Box | None = None) -> None:
        self._read = read
        self._kept = kept
        self._pixels = None if kept is None else read(kept)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept in memory."""
        return 0 if self._pixels is None else self._pixels.nbytes

    def take(self, indices: Indices) -> NDArray[Any]:
        """Return the pixels at the product of the indices."""
        needed = tuple((int(index.min()), int(index.max()) + 1) for index in indices)
        if self._kept is not None and self._pixels is not None and contains(self._kept, needed):
            pixels, origin = self._pixels, self._kept
        else:
            pixels, origin = self._read(needed), needed
        local = [index - start for index, (start, _) in zip(indices, origin, strict=True)]
        spans = relative(needed, origin)
        if all(_is_run(index) for index in local):
            everything = [slice(None)] * (pixels.ndim - len(local))
            found: NDArray[Any] = pixels[tuple([*everything, *as_slices(spans)])]
            return found
        leading = [np.arange(length) for length in pixels.shape[: pixels.ndim - len(local)]]
        found = pixels[np.ix_(*leading, *local)]
        return found


def _is_run(index: NDArray[np.intp]) -> bool:
    """Whether indices rise by one each, as they do away from a mirrored border."""
    return bool(index[-1] - index[0] == len(index) - 1) and bool(np.all(np.diff(index) == 1))


def grown(box: Box, margin: Sequence[int], shape: Sequence[int]) -> Box:
    """Return a box with a margin on all sides, inside an array of that shape."""
    return tuple(
        (max(0, start - side), min(int(length), stop + side))
        for (start, stop), side, length in zip(box, margin, shape, strict=True)
    )
