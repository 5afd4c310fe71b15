"""What a person paints: which pixels changed, that they are verified now, and whether it takes back the last stroke."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import PixelTypeError
from napari_seamless.images.boxes import Box, ChunkIndex, as_slices, chunks_in, contains, intersection, relative
from napari_seamless.workspace.changes import PAINTED, ChunkChange, bounding_box
from napari_seamless.workspace.regions import Regions, with_edit, with_validation
from napari_seamless.workspace.state import now
from napari_seamless.workspace.storage import Storage

_HISTORY_BYTES = 64 * 2**20
_LARGEST_ID = 2**32 - 1

Changes = tuple[ChunkChange, ...]


class Corrections:
    """Records writes into the labels as a person's edits.

    Undo and redo of a Labels layer are writes like any other, and nothing announces them. They are recognised by what
    they do: a write that takes the last recorded one exactly back is its undo, so its pixels are again as verified as
    they were before that stroke. What was taken back and is written again is a redo.

    Parameters
    ----------
    storage : Storage
    axes : str
        Axes of the labels.
    """

    def __init__(self, storage: Storage, axes: str) -> None:
        self._storage = storage
        self._axes = axes
        self._done: deque[Changes] = deque()
        self._undone: deque[Changes] = deque()
        self._history_bytes = 0

    def write_box(self, box: Box, values: Any, source: str, step: int | None = None) -> int:
        """Write labels into a box; return the number of pixels that changed.

        Parameters
        ----------
        box : tuple of (start, stop)
        values : array-like, integer
            Broadcast to the box's shape.
        source : str
            What made the edit, for the journal.
        step : int, optional
            The undo step of a bulk change.
        """
        labels = as_labels(values)
        with self._storage.lock:
            shape = tuple(stop - start for start, stop in box)
            changes = self._changes_in_box(box, np.broadcast_to(labels, shape))
            return self._record(changes, source, step)

    def write_points(self, points: tuple[NDArray[np.intp], ...], values: Any, source: str) -> int:
        """Write labels to single pixels; return the number of pixels that changed. Of repeated pixels the last counts.

        Parameters
        ----------
        points : tuple of ndarray
            Indices along each axis, within the array.
        values : array-like, integer
            One, or one for each point.
        """
        labels = np.broadcast_to(as_labels(values), points[0].shape).ravel()
        with self._storage.lock:
            changes = self._changes_at_points([axis.ravel() for axis in points], labels)
            return self._record(changes, source, None)

    def forget_history(self) -> None:
        """Recognise no undo of what was written until now."""
        self._done.clear()
        self._undone.clear()
        self._history_bytes = 0

    def _changes_in_box(self, box: Box, values: NDArray[np.uint32]) -> Changes:
        memory = self._storage.memory
        changes = []
        for index in chunks_in(box, memory.chunk_shape):
            held = memory.box_of(index)
            shared = intersection(held, box)
            if shared is None:
                continue
            new = values[as_slices(relative(shared, box))]
            if memory.is_empty(index, "labels") and not new.any():
                continue
            place = relative(shared, held)
            differs = memory.pair(index).labels[as_slices(place)] != new
            if differs.any():
                where = tuple(axis + start for axis, (start, _) in zip(np.nonzero(differs), place, strict=True))
                positions = np.ravel_multi_index(where, memory.chunk_shape)
                changes.append(self._change(index, positions, new[differs]))
        return tuple(changes)

    def _changes_at_points(self, points: list[NDArray[np.intp]], labels: NDArray[np.uint32]) -> Changes:
        memory = self._storage.memory
        sides = np.array(memory.chunk_shape)
        places = np.array(points)
        if not places.size:
            return ()
        chunk_of = places // sides[:, None]
        changes = []
        chunks, owner = np.unique(chunk_of, axis=1, return_inverse=True)
        for number, index in enumerate(chunks.T):
            mine = np.flatnonzero(owner.ravel() == number)
            within = places[:, mine] - (index * sides)[:, None]
            flat = np.ravel_multi_index(tuple(within), memory.chunk_shape)
            positions, last = np.unique(flat[::-1], return_index=True)
            new = labels[mine][::-1][last]
            chunk = tuple(int(number) for number in index)
            differs = memory.pair(chunk).labels.reshape(-1)[positions] != new
            if differs.any():
                changes.append(self._change(chunk, positions[differs], new[differs]))
        return tuple(changes)

    def _change(self, index: ChunkIndex, positions: NDArray[np.intp], new: NDArray[np.uint32]) -> ChunkChange:
        pair = self._storage.memory.pair(index)
        old_flags = pair.flags.reshape(-1)[positions]
        return ChunkChange(
            chunk=index,
            positions=positions.astype(np.uint32),
            old_labels=pair.labels.reshape(-1)[positions],
            new_labels=np.ascontiguousarray(new),
            old_flags=old_flags,
            new_flags=old_flags | np.uint8(PAINTED),
        )

    def _record(self, changes: Changes, source: str, step: int | None) -> int:
        if not changes:
            return 0
        size = sum(change.size for change in changes)
        storage = self._storage
        box = bounding_box(list(changes), storage.memory.chunk_shape)
        if box is None:
            return 0
        if step is None and self._done and _undo_each_other(changes, self._done[-1]):
            undone = self._done.pop()
            self._undone.append(undone)
            pairs = zip(changes, undone, strict=True)
            back = tuple(change.with_new_flags(before.old_flags) for change, before in pairs)
            storage.commit("edit", back, source="undo", size=size, box=box)
            self._refit(box)
            return size
        source = self._remember(changes, source, step)
        regions = with_edit(storage.regions, box, self._axes, storage.next_region_id, now())
        storage.commit("edit", changes, regions=regions, step=step, source=source, size=size, box=box)
        return size

    def _remember(self, changes: Changes, source: str, step: int | None) -> str:
        """Note an edit as the last one; return its source, which is "redo" where it does again what was undone."""
        if step is not None:
            self.forget_history()
            return source
        if self._undone and _undo_each_other(changes, tuple(c.reversed() for c in self._undone[-1])):
            self._done.append(self._undone.pop())
            return "redo"
        self._undone.clear()
        self._done.append(changes)
        self._history_bytes = sum(change.nbytes for done in self._done for change in done)
        while self._history_bytes > _HISTORY_BYTES and len(self._done) > 1:
            self._history_bytes -= sum(change.nbytes for change in self._done.popleft())
        return source

    def _refit(self, box: Box) -> None:
        """Let the regions of strokes end where their painted pixels end, and go without any."""
        storage = self._storage
        fitted = refitted(storage, box)
        if fitted != storage.regions:
            storage.commit("regions", regions=fitted)


def refitted(storage: Storage, box: Box) -> Regions:
    """Return the regions after those of strokes that meet a box were drawn around the pixels that are painted now."""
    regions = []
    for region in storage.regions:
        if region.kind != "edit" or intersection(region.box, box) is None:
            regions.append(region)
            continue
        fitted = painted_box(storage, region.box)
        marked = (other for other in storage.regions if other.kind != "edit")
        if fitted is not None and not any(contains(other.box, fitted) for other in marked):
            regions.append(replace(region, box=fitted))
    return with_validation(tuple(regions))


def painted_box(storage: Storage, box: Box) -> Box | None:
    """Return the smallest box around the painted pixels in a box."""
    painted = storage.memory.read(box, "flags") & PAINTED
    spans = []
    for axis, (start, _) in enumerate(box):
        others = tuple(other for other in range(painted.ndim) if other != axis)
        found = np.flatnonzero(painted.any(axis=others))
        if not found.size:
            return None
        spans.append((int(start + found[0]), int(start + found[-1] + 1)))
    return tuple(spans)


def as_labels(values: Any) -> NDArray[np.uint32]:
    """Return object ids or classes as uint32.

    Raises
    ------
    PixelTypeError
        If they are no whole numbers from 0 to 2**32 - 1.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "buif" or (array.dtype.kind == "f" and not np.array_equal(array, np.floor(array))):
        raise PixelTypeError(f"labels are whole numbers from 0 to {_LARGEST_ID}, found {array.dtype}: convert them")
    if array.size and array.dtype.kind != "b":
        low, high = array.min(), array.max()
        if low < 0 or high > _LARGEST_ID:
            raise PixelTypeError(f"labels are whole numbers from 0 to {_LARGEST_ID}, found {low} to {high}")
    return array.astype(np.uint32)


def _undo_each_other(changes: Iterable[ChunkChange], others: Changes) -> bool:
    changes = tuple(changes)
    return len(changes) == len(others) and all(
        change.undoes(other) for change, other in zip(changes, others, strict=True)
    )
