"""The one place where a workspace changes: in memory at once, in the journal within a second, in the arrays soon after.

Order on disk: journal, undo steps, arrays, ``state.json``. Whatever a program is killed over, what is on disk then is a
state that the journal completes when the workspace is opened again.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.errors import WorkspaceError
from napari_seamless.images.boxes import ChunkIndex
from napari_seamless.workspace.bulk_undo import StepFiles, UndoStep, with_regions, with_step
from napari_seamless.workspace.changes import ChunkChange
from napari_seamless.workspace.disk import named_errors, replace_file
from napari_seamless.workspace.journal import Entry, Journal
from napari_seamless.workspace.memory import ChunkMemory, ChunkPair
from napari_seamless.workspace.origin import OriginKeeper
from napari_seamless.workspace.regions import Regions, VerifiedRegion, changed, with_changed
from napari_seamless.workspace.state import STATE, now, read_state

DIRTY_BYTES = 128 * 2**20
_WAITING_BYTES = 64 * 2**20
_CHUNKS_TO_SYNC_ONE_BY_ONE = 64


@dataclass(frozen=True, eq=False)
class _Snapshot:
    """What one flush writes: everything up to one moment."""

    entries: tuple[Entry, ...]
    undo: list[tuple[int, ChunkChange]]
    chunks: dict[ChunkIndex, ChunkPair]
    state: dict[str, Any]


class SavedState:
    """Labels, flags, regions, steps and counters, and how they are saved; see `Storage` for what is done to them.

    Parameters
    ----------
    folder : pathlib.Path
    memory : ChunkMemory
    read_only : bool
        Nothing is written; what a crash left in the journal is shown but not saved.

    Attributes
    ----------
    lock : threading.RLock
        Held while memory is looked at or changed; never while a disk is waited for, but for reading a chunk.
    regions : tuple of VerifiedRegion
    steps : tuple of UndoStep
    next_id : int
        Larger than every object id that was ever used.
    restored : int
        Journal entries that were completed when the workspace was opened.
    damaged_lines : int
        Journal lines that could not be read then.
    watched_ids : set of int, or None
        While a prediction is written: the ids that were painted meanwhile.
    written_bytes : int
        All bytes written since then.
    """

    def __init__(self, folder: Path, memory: ChunkMemory, *, read_only: bool) -> None:
        self.folder, self.memory, self.read_only = folder, memory, read_only
        self.lock = threading.RLock()
        self._io_lock = threading.Lock()
        self.damaged_lines = self.restored = 0
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0
        self._unsaved = False
        self.written_bytes = 0
        self.watched_ids: set[int] | None = None
        self.take_state(read_state(folder))

    def take_state(self, state: dict[str, Any]) -> None:
        """Take over what ``state.json`` says; what the journal says since then is for `replay`."""
        with self.lock:
            self.regions: Regions = tuple(VerifiedRegion.from_dict(values) for values in state["regions"])
            self.steps: tuple[UndoStep, ...] = tuple(UndoStep.from_dict(values) for values in state["steps"])
            self.next_id: int = state["next_id"]
            self.next_region_id: int = state["next_region_id"]
            self.next_step_id: int = state["next_step_id"]
            self._seq: int = state["applied_seq"]
            self.step_files = StepFiles(self.folder / "undo")
            self._journal = Journal(self.folder / "journal", state["journal_segment"])
            self._origins = OriginKeeper(self.folder)
            self.memory.forget_all()

    @property
    def has_waiting_entries(self) -> bool:
        """Whether the journal lacks something."""
        return bool(self._waiting)

    @property
    def changes(self) -> tuple[int, int]:
        """How many journaled changes were ever made, and how many of them are on disk; never waits for the lock."""
        made = self._seq
        return made, made - len(self._waiting)

    @property
    def is_unsaved(self) -> bool:
        """Whether the arrays or the state on disk lack something."""
        return self._unsaved

    def check_writable(self) -> None:
        """Raise WorkspaceError when the workspace is open read-only."""
        if self.read_only:
            raise WorkspaceError(
                f"the workspace {self.folder} is open read-only here, so nothing can be changed: close it where it "
                "is open and open it again"
            )

    def commit(
        self,
        kind: str,
        changes: Iterable[ChunkChange] = (),
        *,
        regions: Regions | None = None,
        step: int | None = None,
        journaled: bool = True,
        **facts: Any,
    ) -> None:
        """Make changes: pixels, regions, or both.

        Parameters
        ----------
        kind : str
            See `journal.Entry`.
        changes : iterable of ChunkChange
        regions : tuple of VerifiedRegion, optional
            The regions from now on.
        step : int, optional
            The undo step that this belongs to.
        journaled : bool
            False for predictions: they can be computed again, so the arrays alone hold them.
        facts
            More for the journal's line, as JSON.
        """
        self.check_writable()
        changes = tuple(changes)
        with self.lock:
            fields = dict(facts)
            if regions is not None and (difference := changed(self.regions, regions)):
                fields["regions"] = difference
            if step is not None:
                fields["step"] = step
            self._make(changes, fields)
            if self.watched_ids is not None and kind == "edit":
                self.watched_ids.update(
                    number for change in changes for number in np.unique(change.new_labels).tolist()
                )
            self._unsaved = True
            if journaled:
                self._seq += 1
                self._waiting.append(Entry(self._seq, kind, now(), fields, changes))
                self._waiting_bytes += sum(change.nbytes for change in changes)

    def _make(self, changes: tuple[ChunkChange, ...], fields: dict[str, Any]) -> None:
        for change in changes:
            self.memory.apply(change)
            if change.has_labels and change.size:
                self.next_id = max(self.next_id, int(change.new_labels.max()) + 1)
        self.next_id = max(self.next_id, fields.get("next_id", 1))
        difference = fields.get("regions", {})
        self.regions = with_changed(self.regions, difference)
        for values in difference.get("added", ()):
            self.next_region_id = max(self.next_region_id, values["id"] + 1)
        step_id = fields.get("step")
        if step_id is not None:
            self.step_files.add(step_id, changes)
            for step in self.steps:
                if step.id == step_id:
                    self.steps = with_step(self.steps, with_regions(step, difference))

    def relieve(self) -> None:
        """Write when much is waiting in memory.

        Raises
        ------
        FileWriteError
            If that fails; everything is still in memory then.
        """
        if self.memory.dirty_bytes > DIRTY_BYTES or self._waiting_bytes > _WAITING_BYTES:
            self.flush()

    def flush(self, *, arrays: bool = True) -> None:
        """Bring everything to the disk, or the journal alone.

        Raises
        ------
        FileWriteError
            If something cannot be written; everything is still in memory then, and nothing on disk is damaged.
        """
        if self.read_only:
            return
        with self._io_lock, named_errors(self.folder):
            with self.lock:
                arrays = arrays and self._unsaved
                snapshot = self._snapshot(arrays)
            self.written_bytes += self._journal.append(snapshot.entries)
            with self.lock:
                del self._waiting[: len(snapshot.entries)]
                self._waiting_bytes = sum(change.nbytes for entry in self._waiting for change in entry.changes)
            if arrays:
                self._write_arrays(snapshot)

    def _snapshot(self, arrays: bool) -> _Snapshot:
        entries = tuple(self._waiting)
        if not arrays:
            return _Snapshot(entries, [], {}, {})
        self._unsaved = False
        return _Snapshot(entries, self.step_files.take(), self.memory.copy_dirty(), self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "applied_seq": self._seq,
            "journal_segment": self._journal.segment,
            "next_id": self.next_id,
            "next_region_id": self.next_region_id,
            "next_step_id": self.next_step_id,
            "regions": [region.as_dict() for region in self.regions],
            "steps": [step.as_dict() for step in self.steps],
        }

    def _write_arrays(self, snapshot: _Snapshot) -> None:
        try:
            self.written_bytes += self.step_files.write(snapshot.undo)
            with self.lock:
                self.step_files.written(len(snapshot.undo))
            one_by_one = len(snapshot.chunks) <= _CHUNKS_TO_SYNC_ONE_BY_ONE or not hasattr(os, "sync")
            for index, pair in snapshot.chunks.items():
                self.written_bytes += self.memory.write(index, pair, sync=one_by_one)
            if not one_by_one:
                os.sync()
            content = json.dumps(snapshot.state).encode()
            replace_file(self.folder / STATE, content)
            self.written_bytes += len(content)
        except BaseException:
            self._unsaved = True
            raise
        with self.lock:
            for index, pair in snapshot.chunks.items():
                self.memory.saved(index, pair.version)
            self.memory.forget_some()
            self.step_files.remove_all_but({step.id for step in self.steps})
        self._journal.begin_segment_if_long()
