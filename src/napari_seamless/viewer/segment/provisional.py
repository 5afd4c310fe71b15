"""Labels while they are being made: what the viewer shows tile by tile, and what stays when a run is cancelled."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_seamless.errors import FileWriteError

MEMORY_SHARE = 0.25
"""Labels that take more than this share of the free memory go to disk."""

_COLOUR_CYCLE = 245
"""A multiple of the 49 colours that napari gives to labels, so that an id keeps its colour below it."""


class ProvisionalLabels:
    """Arrays into which a worker writes tile by tile while the viewer reads them.

    Napari shows 8-bit labels without converting them, in milliseconds for a plane of any size; 32-bit ids take
    0.1 s for 4096 x 4096 pixels. So the viewer is given 8-bit `preview` labels as long as tiles come in, and `labels`
    after that. For 8-bit labels both are the same array.

    Parameters
    ----------
    shape : sequence of int
    dtype : {uint8, uint32}
    on_disk : bool
        Whether the arrays are sparse files in a temporary folder instead of memory.

    Raises
    ------
    FileWriteError
        When the temporary folder cannot take them.
    """

    def __init__(self, shape: Sequence[int], dtype: npt.DTypeLike, on_disk: bool) -> None:
        if on_disk:
            _require_space(shape, np.dtype(dtype))
        self.folder = Path(tempfile.mkdtemp(prefix="napari-seamless-")) if on_disk else None
        self.labels = self._allocate("labels", shape, np.dtype(dtype))
        if self.folder is not None:  # A layer may outlive this object, not its array; Python's end removes the rest.
            weakref.finalize(self.labels, shutil.rmtree, self.folder, ignore_errors=True)
        is_preview = self.labels.dtype == np.uint8
        self.preview = self.labels if is_preview else self._allocate("preview", shape, np.dtype(np.uint8))

    def write(self, where: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Put the labels of one finished tile in their place."""
        self.labels[where] = block
        if self.preview is not self.labels:
            self.preview[where] = as_preview(block)

    def _allocate(self, name: str, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        if self.folder is None:
            return np.zeros(tuple(shape), dtype)
        return np.memmap(self.folder / f"{name}.raw", dtype=dtype, mode="w+", shape=tuple(shape))


def _require_space(shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Refuse labels that the disk could not take: a file in memory that finds the disk full ends the whole program."""
    needed = math.prod(shape) * (dtype.itemsize + (dtype != np.uint8))
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FileWriteError(
            f"the labels fit neither into memory nor into {folder}: they take {needed / 1e9:.1f} GB "
            f"and {free / 1e9:.1f} GB are free; segment the visible field or the current slice, "
            "or move the folder for temporary files (TMPDIR)"
        )


def as_preview(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Fold ids into 8 bits: 0 stays 0, every other id becomes one that napari paints in the same colour."""
    folded = (labels - 1) % _COLOUR_CYCLE + 1  # id 0 wraps around here and is put right below
    return np.where(labels == 0, 0, folded).astype(np.uint8)


def fits_memory(shape: Sequence[int], dtype: npt.DTypeLike) -> bool:
    """Whether labels, and the provisional ones beside them, may be held in memory."""
    import psutil

    needed = 2 * math.prod(shape) * np.dtype(dtype).itemsize
    return needed <= MEMORY_SHARE * psutil.virtual_memory().available
