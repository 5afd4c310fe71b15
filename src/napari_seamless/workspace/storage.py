"""What is done to a workspace: bulk changes that can be undone, and what a crash left in the journal."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.images.boxes import BLOCK_SIDE
from napari_seamless.workspace.bulk_undo import UndoStep, with_step
from napari_seamless.workspace.chunk_files import ChunkFiles
from napari_seamless.workspace.disk import named_errors
from napari_seamless.workspace.journal import Entry
from napari_seamless.workspace.layout import WorkspaceInfo
from napari_seamless.workspace.memory import ChunkMemory
from napari_seamless.workspace.origin import Origin
from napari_seamless.workspace.regions import with_changed
from napari_seamless.workspace.saving import DIRTY_BYTES, SavedState
from napari_seamless.workspace.state import now


class Storage(SavedState):
    """Labels, flags and regions, and bulk changes of them as steps. All methods may be called from any thread."""

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Shape of what a pass over the labels takes at a time: a piece of one plane."""
        return (*self.memory.chunk_shape[:-2], BLOCK_SIDE, BLOCK_SIDE)

    def begin_step(self, name: str, origin: Origin | None = None) -> int:
        """Begin a bulk change that can be undone as one; steps that were undone are forgotten. Return its number.

        Parameters
        ----------
        name : str
        origin : Origin, optional
            What makes the labels from now on; by default what made them so far.
        """
        self.check_writable()
        with self.lock:
            step_id = self.next_step_id
            facts: dict[str, Any] = {"begun": step_id, "name": name}
            if origin is not None:
                facts["origins"] = [asdict(self.origin), asdict(origin)]
            self._open_step(facts, now())
            self.commit("bulk", **facts)
        return step_id

    def _open_step(self, facts: dict[str, Any], time_: str) -> None:
        self._origins.keep(self.steps)
        self.next_step_id = facts["begun"] + 1
        origins = facts.get("origins")
        step = UndoStep(facts["begun"], facts["name"], time_, origins=None if origins is None else tuple(origins))
        self.steps = self.step_files.trimmed((*(other for other in self.steps if not other.undone), step))

    @property
    def origin(self) -> Origin:
        """What made the labels, as the steps tell it that are not undone."""
        return self._origins.after(self.steps)

    def save_origin(self) -> None:
        """Write down what made the labels, if that is not what the file says."""
        if not self.read_only:
            self._origins.save(self.steps)

    def move_step(self, step: UndoStep, *, undo: bool) -> None:
        """Undo a step or do it again, but for pixels that were changed since."""
        files = self.step_files
        records = files.read_backwards(step.id) if undo else files.read_forwards(step.id)
        for record in records:
            change = record.reversed() if undo else record
            with self.lock:
                chosen = self.memory.still_new(change.reversed())
                if chosen.any():
                    self.memory.apply(change.part(chosen))
            if self.memory.dirty_bytes > DIRTY_BYTES and not self.read_only:
                self.flush()
        with self.lock:
            for difference in reversed(step.regions) if undo else step.regions:
                self.regions = with_changed(self.regions, difference, backwards=undo)
            self.steps = with_step(self.steps, replace(step, undone=undo))
            self._unsaved = True

    def move_for_good(self, step: UndoStep, *, undo: bool) -> None:
        """Undo a step or do it again, and bring that to the disk."""
        self.flush()
        self.commit("undo_bulk" if undo else "redo_bulk", moved=step.id)
        self.move_step(step, undo=undo)
        self.flush()
        self.save_origin()

    def forget_step(self, step_id: int) -> None:
        """Forget a step that was undone for good."""
        with self.lock:
            self.steps = tuple(step for step in self.steps if step.id != step_id)
            self._unsaved = True

    def replay(self) -> None:
        """Complete what a crash interrupted, or what another program has written into the journal meanwhile."""
        tail = self._journal.read_tail(self._seq)
        self.damaged_lines = tail.damaged
        if tail.damaged and not self.read_only:
            with named_errors(self.folder):
                self._journal.set_damaged_aside()
        for entry in tail.entries:
            with self.lock:
                self._replay(entry)
                self._seq = entry.seq
            self.restored += entry.kind == "edit"
        if tail.entries and not self.read_only:
            self._unsaved = True
            self.flush()

    def _replay(self, entry: Entry) -> None:
        fields = entry.fields
        if entry.kind == "bulk":
            self._open_step(fields, entry.time)
        elif entry.kind in ("undo_bulk", "redo_bulk"):
            for step in self.steps:
                if step.id == fields["moved"]:
                    self.move_step(step, undo=entry.kind == "undo_bulk")
        self._make(entry.changes, fields)


def open_storage(folder: Path, info: WorkspaceInfo, *, read_only: bool) -> Storage:
    """Return what a workspace's folder holds, completed by what its journal says."""
    labels = ChunkFiles(folder / "labels", info.labels_shape, info.chunk_shape, np.uint32)
    flags = ChunkFiles(folder / "verified", info.labels_shape, info.chunk_shape, np.uint8)
    storage = Storage(folder, ChunkMemory(labels, flags, info.labels_shape), read_only=read_only)
    storage.replay()
    storage.save_origin()
    return storage
