"""Write a prediction around what a person verified.

Pixels that are verified keep their labels, always. Objects get ids that were never used before. An object that reaches
into verified pixels is decided as a whole, by all of its pixels, before anything is written:

1. It *is* the person's object L, and takes its id outside too, if it covers at least half of L's verified pixels, or
   if at least half of it lies in L. (The box ends in the middle of a cell; a stroke names a cell.) Of several such
   objects the one with the largest overlap counts, then the smaller id.
2. Otherwise it is cut at the border. What remains is a new object if that is at least half of it; less is dropped: the
   person has said that most of it is something else.

Touching a verified object without overlap changes nothing: touching cells stay two cells. The rule counts pixels, so
it is the same in 2D and 3D. Classes (semantic models) have no objects: they are just written where nothing is verified.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import AxesError, Cancelled
from napari_seamless.events import Event, OnEvent, ShouldStop
from napari_seamless.images.boxes import Box, ChunkIndex, as_slices, blocks_in, box_shape, chunks_in, intersection
from napari_seamless.images.boxes import relative as relative_to
from napari_seamless.workspace.changes import ChunkChange
from napari_seamless.workspace.corrections import as_labels
from napari_seamless.workspace.marks import bulk_change
from napari_seamless.workspace.new_ids import NewIds
from napari_seamless.workspace.origin import Origin
from napari_seamless.workspace.storage import Storage

_LARGEST_ID = 2**32 - 1


@dataclass(frozen=True)
class PredictionSummary:
    """What became of a prediction.

    Attributes
    ----------
    changed : int
        Pixels with another label than before.
    kept : int
        Verified pixels in the region, which were left alone.
    continued, cut, dropped : int
        Objects that took a person's id; that ended at the border of what is verified; that went.
    """

    changed: int
    kept: int
    continued: int
    cut: int
    dropped: int


@dataclass
class _Overlaps:
    """What predicted objects share with verified pixels."""

    sizes: Counter[int] = field(default_factory=Counter)
    verified: Counter[int] = field(default_factory=Counter)
    with_object: dict[int, Counter[int]] = field(default_factory=dict)
    persons_sizes: Counter[int] = field(default_factory=Counter)


def decide(overlaps: _Overlaps) -> dict[int, int | None]:
    """Return for each object that reaches into verified pixels the id it takes: 0 to drop it, None for a new one."""
    decisions: dict[int, int | None] = {}
    for predicted, inside in overlaps.verified.items():
        size = overlaps.sizes[predicted]
        shared = overlaps.with_object.get(predicted, Counter())
        same = [
            (-count, persons)
            for persons, count in shared.items()
            if 2 * count >= overlaps.persons_sizes[persons] or 2 * count >= size
        ]
        if same:
            decisions[predicted] = min(same)[1]
        else:
            decisions[predicted] = None if 2 * (size - inside) >= size else 0
    return decisions


class PredictionWriter:
    """Writes one prediction.

    Parameters
    ----------
    storage : Storage
    box : tuple of (start, stop)
        The part of the labels that was predicted.
    labels : array-like, integer, shape of the box
        Read by slices.
    instances : bool
        Whether labels are ids of objects, not classes.
    """

    def __init__(self, storage: Storage, box: Box, labels: Any, instances: bool) -> None:
        if tuple(labels.shape) != box_shape(box):
            raise AxesError(f"the prediction has shape {tuple(labels.shape)}, its region {box_shape(box)}")
        self._storage, self._box, self._labels, self._instances = storage, box, labels, instances
        self._ids = NewIds(storage)
        self._decisions: dict[int, int | None] = {}
        self._changed = self._kept = 0

    def write(
        self, name: str, on_event: OnEvent, should_stop: ShouldStop, origin: Origin | None = None
    ) -> PredictionSummary:
        """Write everything, or nothing.

        Raises
        ------
        Cancelled, FileWriteError
            The labels are then as they were.
        """
        blocks = list(blocks_in(self._box, self._storage.block_shape))
        if self._instances:
            self._decisions = decide(self._overlaps(blocks, should_stop))
        self._storage.flush()
        with bulk_change(self._storage, name, origin) as step, self._ids.reserved():
            for done, block in enumerate(blocks, 1):
                _check(should_stop)
                self._write_block(block, step)
                self._storage.relieve()
                on_event(Event("write", {"done": done, "total": len(blocks)}))
            # The arrays alone hold the prediction, and may come to the disk later than this line.
            free = self._storage.next_id
            self._storage.commit("prediction", name=name, box=self._box, changed=self._changed, next_id=free)
        answers = list(self._decisions.values())
        continued = sum(bool(answer) for answer in answers)
        return PredictionSummary(self._changed, self._kept, continued, answers.count(None), answers.count(0))

    def _final_id(self, number: int) -> int:
        decision = 0 if number == 0 else self._decisions.get(number)
        return self._ids.of(number) if decision is None else decision

    def _read(self, block: Box) -> NDArray[np.uint32]:
        return as_labels(self._labels[as_slices(relative_to(block, self._box))])

    def _may_be_verified(self, block: Box) -> bool:
        memory = self._storage.memory
        return any(not memory.is_empty(index, "flags") for index in chunks_in(block, memory.chunk_shape))

    def _overlaps(self, blocks: list[Box], should_stop: ShouldStop) -> _Overlaps:
        overlaps = _Overlaps()
        for block in blocks:
            _check(should_stop)
            if self._may_be_verified(block):
                self._count_verified(block, overlaps)
        reaching = np.array(sorted(overlaps.verified), np.uint32)
        for block in blocks if reaching.size else ():
            _check(should_stop)
            predicted = self._read(block)
            overlaps.sizes.update(_counted(predicted[np.isin(predicted, reaching)]))
        return overlaps

    def _count_verified(self, block: Box, overlaps: _Overlaps) -> None:
        with self._storage.lock:
            inside = self._storage.memory.read(block, "flags") != 0
            persons = self._storage.memory.read(block, "labels")[inside]
        if not inside.any():
            return
        predicted = self._read(block)[inside]
        overlaps.verified.update(_counted(predicted[predicted > 0]))
        overlaps.persons_sizes.update(_counted(persons[persons > 0]))
        both = (predicted > 0) & (persons > 0)
        codes = predicted[both].astype(np.uint64) << np.uint64(32) | persons[both]
        for code, count in _counted(codes).items():
            overlaps.with_object.setdefault(code >> 32, Counter())[code & _LARGEST_ID] += count

    def _write_block(self, block: Box, step: int) -> None:
        predicted = self._read(block)
        if self._instances:
            predicted = self._final_ids(predicted)
        memory = self._storage.memory
        for index in chunks_in(block, memory.chunk_shape):
            with self._storage.lock:
                change = self._change(index, block, predicted)
                if change is not None:
                    self._storage.commit("prediction", [change], step=step, journaled=False)
                    self._changed += change.size

    def _change(self, index: ChunkIndex, block: Box, predicted: NDArray[np.uint32]) -> ChunkChange | None:
        memory = self._storage.memory
        held = memory.box_of(index)
        shared = intersection(held, block)
        if shared is None:
            return None
        new = predicted[as_slices(relative_to(shared, block))]
        if memory.is_empty(index, "labels") and memory.is_empty(index, "flags") and not new.any():
            return None
        pair = memory.pair(index)
        place = relative_to(shared, held)
        verified = pair.flags[as_slices(place)] != 0
        self._kept += int(np.count_nonzero(verified))
        differs = (pair.labels[as_slices(place)] != new) & ~verified
        if not differs.any():
            return None
        where = tuple(axis + start for axis, (start, _) in zip(np.nonzero(differs), place, strict=True))
        positions = np.ravel_multi_index(where, memory.chunk_shape)
        flags = np.zeros(positions.size, np.uint8)
        old = pair.labels.reshape(-1)[positions]
        return ChunkChange(index, positions.astype(np.uint32), old, new[differs], flags, flags)

    def _final_ids(self, predicted: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the block with every object's id in the workspace."""
        ids, inverse = np.unique(predicted, return_inverse=True)
        final = [self._final_id(number) for number in ids.tolist()]
        return np.array(final, np.uint32)[inverse].reshape(predicted.shape)


def _counted(values: NDArray[Any]) -> dict[int, int]:
    numbers, counts = np.unique(values, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _check(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Cancelled("writing the prediction was stopped; the labels are as they were before")
