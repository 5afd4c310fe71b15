"""Whole regions that a person says are right, and bulk changes that leave nothing behind when they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import WorkspaceError
from napari_seamless.images.boxes import Box, ChunkIndex, as_slices, box_shape, chunks_in, intersection, relative
from napari_seamless.workspace.bulk_undo import UndoStep
from napari_seamless.workspace.changes import MARKED, PAINTED, ChunkChange
from napari_seamless.workspace.corrections import painted_box, refitted
from napari_seamless.workspace.origin import Origin
from napari_seamless.workspace.regions import Kind, Regions, VerifiedRegion, with_edit, with_marked, with_validation
from napari_seamless.workspace.state import now
from napari_seamless.workspace.storage import Storage

_CHUNKS_AT_ONCE = 64
_NO_LABELS = np.zeros(0, np.uint32)

Flags = NDArray[np.uint8]


@contextmanager
def bulk_change(storage: Storage, name: str, origin: Origin | None = None) -> Iterator[int]:
    """Yield the number of a new undo step; when the block ends with an exception, the step is undone and forgotten."""
    step_id = storage.begin_step(name, origin)
    try:
        yield step_id
    except BaseException:
        storage.move_step(step_of(storage, step_id), undo=True)
        storage.forget_step(step_id)
        raise


def step_of(storage: Storage, step_id: int) -> UndoStep:
    """Return a step by its number."""
    return next(step for step in storage.steps if step.id == step_id)


def verify(storage: Storage, box: Box, kind: Kind, mask: NDArray[np.bool_] | None) -> VerifiedRegion:
    """Mark a box, or the part of it that a mask (of the box's shape) chooses; return its region.

    Raises
    ------
    WorkspaceError
        If the mask has another shape, or chooses nothing.
    """
    if mask is not None and (mask.shape != box_shape(box) or not mask.any()):
        raise WorkspaceError(
            f"a mask has the shape of its box, {box_shape(box)}, and chooses some pixel; found {mask.shape}"
        )

    def marked(flags: Flags, place: Box) -> Flags:
        chosen = True if mask is None else mask[as_slices(relative(place, box))]
        return np.where(chosen, flags | np.uint8(MARKED), flags)

    with bulk_change(storage, f"Verify {kind}") as step:
        _change_flags(storage, "verify", box, step, marked)
        with storage.lock:
            regions = with_marked(storage.regions, kind, box, storage.next_region_id, now())
            storage.commit("verify", regions=regions, step=step, box=box)
    return next(region for region in storage.regions if region.kind != "edit" and region.box == box)


def unverify(storage: Storage, region: VerifiedRegion) -> None:
    """Take a mark back. Painted pixels stay verified, unless the region is one of strokes; other marks stay, too."""
    others = [other.box for other in storage.regions if other.kind != "edit" and other.id != region.id]
    bit = PAINTED if region.kind == "edit" else MARKED

    def cleared(flags: Flags, place: Box) -> Flags:
        result = flags & np.uint8(~bit & 0xFF)
        for other in others:
            shared = intersection(other, place)
            if shared is not None:
                kept = as_slices(relative(shared, place))
                result[kept] = flags[kept]
        return result

    with bulk_change(storage, f"Unverify {region.kind}") as step:
        _change_flags(storage, "unverify", region.box, step, cleared)
        with storage.lock:
            storage.commit("unverify", regions=_without(storage, region, bit), step=step, box=region.box)


def _without(storage: Storage, region: VerifiedRegion, bit: int) -> Regions:
    """Return the regions without one; painted pixels that only it covered get a region of their own."""
    left: Regions = tuple(other for other in storage.regions if other.id != region.id)
    if bit == PAINTED:
        return with_validation(tuple(other for other in refitted(storage, region.box) if other.id != region.id))
    painted = painted_box(storage, region.box)
    if painted is None:
        return with_validation(left)
    return with_edit(left, painted, _axes_of(storage), storage.next_region_id, now())


def _axes_of(storage: Storage) -> str:
    return "TZYX"[-len(storage.memory.shape) :]  # only Y and X, which are last, are told from the others


def _change_flags(storage: Storage, kind: str, box: Box, step: int, change: Callable[[Flags, Box], Flags]) -> None:
    batch: list[ChunkIndex] = []
    for index in chunks_in(box, storage.memory.chunk_shape):
        batch.append(index)
        if len(batch) == _CHUNKS_AT_ONCE:
            _change_batch(storage, kind, box, step, change, batch)
            batch = []
    _change_batch(storage, kind, box, step, change, batch)


def _change_batch(
    storage: Storage,
    kind: str,
    box: Box,
    step: int,
    change: Callable[[Flags, Box], Flags],
    batch: list[ChunkIndex],
) -> None:
    with storage.lock:
        found = (_flag_change(storage, index, box, change) for index in batch)
        changes = [entry for entry in found if entry is not None]
        if changes:
            storage.commit(kind, changes, step=step)
    storage.relieve()


def _flag_change(
    storage: Storage, index: ChunkIndex, box: Box, change: Callable[[Flags, Box], Flags]
) -> ChunkChange | None:
    memory = storage.memory
    held = memory.box_of(index)
    shared = intersection(held, box)
    if shared is None:
        return None
    place = as_slices(relative(shared, held))
    flags = memory.pair(index).flags
    new = flags.copy()
    new[place] = change(flags[place], shared)
    positions = np.flatnonzero(new != flags)
    if not positions.size:
        return None
    old_flags, new_flags = flags.reshape(-1)[positions], new.reshape(-1)[positions]
    return ChunkChange(index, positions.astype(np.uint32), _NO_LABELS, _NO_LABELS, old_flags, new_flags)
