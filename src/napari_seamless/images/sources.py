"""Files as arrays that read what is sliced: the common ground of all readers.

A source holds no open file. It opens, reads and closes within one slicing, so images may be used from several threads
and nothing has to be closed.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import FileReadError, SeamlessError
from napari_seamless.images.axes import permutation
from napari_seamless.images.blocks import Box, block_shape


class Source(ABC):
    """A file's array.

    Attributes
    ----------
    path : pathlib.Path
        The file, for messages.
    shape : tuple of int
        Length of every axis.
    dtype : numpy.dtype
        Pixel type, in the machine's byte order.
    chunks : tuple of int
        What the file decodes at once.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @abstractmethod
    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box that is not empty: one slice of step 1 per axis, within the shape."""

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return a slice. Per axis an integer, a slice, or a list of integers; several lists select rows by columns.

        Raises
        ------
        FileReadError
            When the file is missing, damaged or cut off where it was read.
        """
        picks = [_pick(entry, length) for entry, length in zip(self._full_key(key), self.shape, strict=True)]
        box = tuple(span for span, _ in picks)
        if all(span.stop > span.start for span in box):
            block = self._read_safely(box)
        else:
            block = np.empty([span.stop - span.start for span in box], self.dtype)
        for axis, (_, within) in enumerate(picks):
            if isinstance(within, np.ndarray):
                block = block.take(within, axis)
        return block[tuple(slice(None) if isinstance(within, np.ndarray) else within for _, within in picks)]

    def _full_key(self, key: Any) -> tuple[Any, ...]:
        entries = key if isinstance(key, tuple) else (key,)
        dots = next((at for at, entry in enumerate(entries) if entry is Ellipsis), len(entries))
        given = len(entries) - (dots < len(entries))
        if given > self.ndim:
            raise IndexError(f"{given} indices for an array of {self.ndim} axes")
        return (*entries[:dots], *[slice(None)] * (self.ndim - given), *entries[dots + 1 :])

    def _read_safely(self, box: Box) -> NDArray[Any]:
        try:
            return self.read(box)
        except (SeamlessError, MemoryError):
            raise
        # Decoders raise whatever they like on damaged bytes: zlib.error, RuntimeError, IndexError, struct.error...
        except Exception as error:
            where = ", ".join(f"{span.start}:{span.stop}" for span in box)
            raise FileReadError(
                f"{self.path} cannot be decoded at [{where}]: {type(error).__name__}: {error}; "
                "the file is damaged or cut off: copy it again from where it came from"
            ) from error


class MemorySource(Source):
    """An array in memory: dask would copy it whole."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.path = Path("the array")
        self.shape = array.shape
        self.dtype = array.dtype
        self.chunks = (1,) * array.ndim

    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box, as a copy: what comes out of a lazy array may be written to."""
        return self._array[box].copy()


class Transposed(Source):
    """A source with its axes in another order."""

    def __init__(self, source: Source, order: Sequence[int]) -> None:
        self._source = source
        self._order = tuple(order)
        self.path = source.path
        self.dtype = source.dtype
        self.shape = tuple(source.shape[axis] for axis in order)
        self.chunks = tuple(source.chunks[axis] for axis in order)

    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box."""
        inner: list[slice] = [slice(0)] * self.ndim
        for span, axis in zip(box, self._order, strict=True):
            inner[axis] = span
        return self._source.read(tuple(inner)).transpose(self._order)


class Pixelwise(Source):
    """A source with a function applied to each pixel, which may change the samples (last axis) of a pixel.

    Parameters
    ----------
    source : Source
        Where the pixels come from.
    function : callable
        From a block of the source, with all samples, to a block of the result, with all samples.
    dtype : dtype
        Pixel type of the result.
    samples : tuple of int or None
        Number of samples (last axis) of the source and of the result, 0 where there is no such axis; None when the
        function leaves the axes as they are.
    """

    def __init__(
        self,
        source: Source,
        function: Callable[[NDArray[Any]], NDArray[Any]],
        dtype: Any,
        samples: tuple[int, int] | None = None,
    ) -> None:
        self._source = source
        self._function = function
        self._samples = samples
        self.path = source.path
        self.dtype = np.dtype(dtype)
        before, after = samples or (0, 0)
        self.shape = source.shape[: source.ndim - bool(before)] + ((after,) if after else ())
        self.chunks = source.chunks[: source.ndim - bool(before)] + ((after,) if after else ())

    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box."""
        if self._samples is None:
            return self._function(self._source.read(box))
        before, after = self._samples
        place = box[:-1] if after else box
        block = self._function(self._source.read((*place, slice(0, before)) if before else place))
        return block[..., box[-1]] if after else block


def in_order(source: Source, axes: str, target: str) -> Source:
    """Return ``source`` with its ``axes`` in the order ``target``."""
    return source if axes == target else Transposed(source, permutation(axes, target))


def lazy(source: Source) -> da.Array:
    """Return a dask array over a source, in blocks of several chunks where chunks are small."""
    array: da.Array = da.from_array(
        source,
        chunks=block_shape(source.shape, source.chunks, source.dtype),
        name=False,
        meta=np.empty((0,) * source.ndim, source.dtype),
    )
    return array


def cells(box: Box, cell_shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the grid indices of all cells of ``cell_shape`` that a box touches."""
    ranges = [
        range(span.start // length, -(-span.stop // length)) for span, length in zip(box, cell_shape, strict=True)
    ]
    return list(itertools.product(*ranges))


def _pick(entry: Any, length: int) -> tuple[slice, Any]:
    """Return the span to read along one axis, and what to take out of that span."""
    if isinstance(entry, slice):
        chosen = range(*entry.indices(length))
        if not chosen:
            return slice(0, 0), slice(None)
        return slice(min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1), slice(None, None, chosen.step)
    indices = np.asarray(entry)
    if indices.dtype == bool:
        indices = np.flatnonzero(indices)
    if indices.size == 0:
        return slice(0, 0), slice(None)
    if indices.min() < -length or indices.max() >= length:
        raise IndexError(f"index {entry} is outside an axis of length {length}")
    indices = indices % length
    start = int(indices.min())
    within = 0 if indices.ndim == 0 else indices - start
    return slice(start, int(indices.max()) + 1), within
