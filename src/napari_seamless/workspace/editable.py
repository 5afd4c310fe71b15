"""The labels as an array that napari can show and paint on: every write is known, so nothing escapes the journal.

napari paints, fills, erases, undoes and redoes by ``layer.data[...] = values``, and so do other plugins. Reading and
writing follow numpy: integers, slices, ``...``, index arrays and masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from napari_seamless.images.boxes import BLOCK_SIDE, Box, as_slices, blocks_in, box_shape, relative, size_of, whole

if TYPE_CHECKING:
    from napari_seamless.workspace.memory import Part
    from napari_seamless.workspace.storage import Storage


WriteBox = Callable[[Box, NDArray[Any]], int]
WritePoints = Callable[[tuple[NDArray[np.intp], ...], NDArray[Any]], int]


class WorkspaceArray(NDArrayOperatorsMixin):
    """Labels or verified flags of a workspace, read from memory or disk where they are looked at.

    Parameters
    ----------
    storage : Storage
    part : {"labels", "flags"}
    extra_axes : tuple of int
        Where the array has axes of length 1 that the workspace does not know: a Labels layer of a ``TCYX`` image is
        over ``TCYX``, with ``(1,)``.

    Attributes
    ----------
    shape, dtype, ndim, size, nbytes, chunks
        As of a zarr array.
    """

    def __init__(self, storage: Storage, part: Part, extra_axes: tuple[int, ...] = ()) -> None:
        self._storage = storage
        self._part: Part = part
        self._extra = extra_axes
        self.shape = _expanded(storage.memory.shape, extra_axes)
        self.chunks = _expanded(storage.memory.chunk_shape, extra_axes)
        self.dtype = np.dtype(np.uint32 if part == "labels" else np.uint8)
        self.ndim = len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        box, local = normalised(key, self.shape)
        return self._read(box)[local]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the labels of a workspace can only be copied into memory")
        values = self._read(whole(self.shape))
        return values if dtype is None else values.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", ())
        arrays = [np.asarray(value) if isinstance(value, WorkspaceArray) else value for value in inputs]
        result = getattr(ufunc, method)(*arrays, **options)
        if not out:
            return result
        for target in out:
            target[...] = result
        return out[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._part} {self.shape} {self.dtype} of {self._storage.folder}>"

    def astype(self, dtype: Any, copy: bool = True) -> NDArray[Any]:
        """Return a copy in memory."""
        return np.asarray(self).astype(dtype, copy=copy)

    def _read(self, box: Box) -> NDArray[Any]:
        with self._storage.lock:
            values = self._storage.memory.read(self._inner(box), self._part)
        return values.reshape(box_shape(box))

    def _inner(self, box: Box) -> Box:
        return tuple(pair for axis, pair in enumerate(box) if axis not in self._extra)


class EditableLabels(WorkspaceArray):
    """The labels; what is written is a person's edit: on disk within two seconds, and verified.

    Parameters
    ----------
    storage : Storage
    write_box, write_points : callable
        `corrections.Corrections.write_box` and `write_points`.
    extra_axes : tuple of int
    """

    def __init__(
        self, storage: Storage, write_box: WriteBox, write_points: WritePoints, extra_axes: tuple[int, ...] = ()
    ) -> None:
        super().__init__(storage, "labels", extra_axes)
        self._write_box, self._write_points = write_box, write_points

    def __setitem__(self, key: Any, values: Any) -> None:
        values = np.asarray(values)
        points = _points(key, self.shape)
        if points is not None:
            inner = tuple(axis for number, axis in enumerate(points) if number not in self._extra)
            self._write_points(inner, np.broadcast_to(values, points[0].shape))
            return
        box, local = normalised(key, self.shape)
        if 0 in box_shape(box):
            return
        if all(isinstance(part, slice) and part == slice(None) for part in local):
            self._write_plain(box, np.broadcast_to(values, box_shape(box)))
            return
        # Integers, steps and index arrays: numpy's own rules, on a copy of the surroundings.
        block = self._read(box)
        block[local] = values
        self._write_plain(box, block)

    def _write_plain(self, box: Box, values: NDArray[Any]) -> None:
        sides = _expanded(self._storage.block_shape, self._extra)
        for block in blocks_in(box, sides) if _is_large(box) else (box,):
            part = values[as_slices(relative(block, box))]
            inner = self._inner(block)
            self._write_box(inner, part.reshape(box_shape(inner)))


def normalised(key: Any, shape: tuple[int, ...]) -> tuple[Box, tuple[Any, ...]]:
    """Return the smallest box that an index reads from, and the index within that box.

    Raises
    ------
    IndexError
        As numpy.
    """
    parts = _full_key(key, shape)
    spans: list[tuple[int, int]] = []
    local: list[Any] = []
    axis = 0
    for part in parts:
        if part is None:
            local.append(None)
            continue
        span, inside = _span(part, shape[axis])
        spans.append(span)
        local.append(inside)
        axis += 1
    return tuple(spans), tuple(local)


def _full_key(key: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return one part for each axis (and None for each new one): masks as index arrays, ``...`` written out."""
    parts: list[Any] = []
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, (list, np.ndarray)) or hasattr(part, "__array__"):
            array = np.asarray(part)
            if array.dtype.kind == "b" and array.ndim:
                parts.extend(np.nonzero(array))
                continue
            part = int(array) if array.ndim == 0 else array.astype(np.intp)
        parts.append(part)
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if used > len(shape):
        raise IndexError(f"too many indices: the labels have {len(shape)} axes, {used} were indexed")
    rest = (slice(None),) * (len(shape) - used)
    places = [number for number, part in enumerate(parts) if part is Ellipsis]
    if not places:
        return (*parts, *rest)
    return (*parts[: places[0]], *rest, *(part for part in parts[places[0] + 1 :] if part is not Ellipsis))


def _span(part: Any, length: int) -> tuple[tuple[int, int], Any]:
    if isinstance(part, slice):
        indices = range(length)[part]
        if not indices:
            return (0, 0), slice(None)
        low, high = min(indices[0], indices[-1]), max(indices[0], indices[-1]) + 1
        if indices.step == 1:
            return (low, high), slice(None)
        start, stop = indices[0] - low, indices[-1] - low + (1 if indices.step > 0 else -1)
        return (low, high), slice(start, None if stop < 0 else stop, indices.step)
    index = _checked(np.asarray(part, np.intp), length)
    if index.size == 0:
        return (0, 0), index
    low = int(index.min())
    return (low, int(index.max()) + 1), int(index) - low if index.ndim == 0 else index - low


def _checked(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    if index.size and (index.min() < -length or index.max() >= length):
        raise IndexError(f"index {index.min()} to {index.max()} is out of bounds for an axis of length {length}")
    return np.where(index < 0, index + length, index)


def _points(key: Any, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...] | None:
    """Return the pixels that an index names one by one, or None where it has slices or new axes."""
    parts = _full_key(key, shape)
    if any(part is None or isinstance(part, slice) for part in parts):
        return None
    if not any(isinstance(part, np.ndarray) for part in parts):
        return None
    arrays = np.broadcast_arrays(*(_checked(np.asarray(p, np.intp), n) for p, n in zip(parts, shape, strict=True)))
    return tuple(arrays)


def _is_large(box: Box) -> bool:
    return size_of(box) > 4 * BLOCK_SIDE**2


def _expanded(sides: tuple[int, ...], extra: tuple[int, ...]) -> tuple[int, ...]:
    result = list(sides)
    for axis in sorted(extra):
        result.insert(axis, 1)
    return tuple(result)
