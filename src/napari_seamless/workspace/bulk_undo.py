"""What bulk changes replaced, on disk, so that each can be undone: one file a step.

A file holds the changed pixels of each chunk before and after. Undoing compares with what is there now: a pixel that
somebody changed since then stays as it is. So undoing never loses a correction, and undoing twice is the same as once.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_seamless.workspace.changes import ChunkChange
from napari_seamless.workspace.disk import AppendFile

MOST_STEPS = 10
FEWEST_STEPS = 5
MOST_BYTES = 4 * 2**30

_HEAD = struct.Struct("<II")


@dataclass(frozen=True)
class UndoStep:
    """One bulk change.

    Attributes
    ----------
    id : int
    name : str
        What was done, for the user: "Segment", "Verify slice".
    time : str
        ISO 8601, UTC.
    undone : bool
        Whether it was undone, so that it can be done again.
    regions : tuple of dict
        What became of the verified regions; see `regions.changed`.
    origins : tuple of two dicts, or None
        What made the labels before and after the step, as fields of `origin.Origin`; None where it changed nothing.
    """

    id: int
    name: str
    time: str
    undone: bool = False
    regions: tuple[dict[str, Any], ...] = ()
    origins: tuple[dict[str, Any], dict[str, Any]] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the step as JSON."""
        values = {**vars(self), "regions": list(self.regions)}
        if self.origins is None:
            del values["origins"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> UndoStep:
        """Read what `as_dict` returned."""
        origins = values.get("origins")
        pair = None if origins is None else (dict(origins[0]), dict(origins[1]))
        return cls(**{**values, "regions": tuple(values["regions"]), "origins": pair})


class StepFiles:
    """The files of all steps.

    Parameters
    ----------
    folder : pathlib.Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._waiting: list[tuple[int, ChunkChange]] = []
        self._files: dict[int, AppendFile] = {}

    @property
    def waiting(self) -> int:
        """Number of changes that are not on disk."""
        return len(self._waiting)

    def add(self, step_id: int, changes: tuple[ChunkChange, ...]) -> None:
        """Take changes of a step, to be written later."""
        self._waiting += [(step_id, change) for change in changes]

    def take(self) -> list[tuple[int, ChunkChange]]:
        """Return what is to be written."""
        return list(self._waiting)

    def write(self, waiting: list[tuple[int, ChunkChange]]) -> int:
        """Write changes; return the bytes written.

        Raises
        ------
        OSError
            What the system says; the files are then as they were, or hold some of the changes.
        """
        pieces: dict[int, list[bytes]] = {}
        for step_id, change in waiting:
            packed = change.encode()
            pieces.setdefault(step_id, []).append(_HEAD.pack(len(packed), zlib.crc32(packed)) + packed)
        for step_id, parts in pieces.items():
            self._file(step_id).append(b"".join(parts))
        return sum(len(part) for parts in pieces.values() for part in parts)

    def written(self, count: int) -> None:
        """Note that the first changes are on disk."""
        del self._waiting[:count]

    def read_backwards(self, step_id: int) -> Iterator[ChunkChange]:
        """Yield a step's changes, the last first. One that is being written at this moment may come twice."""
        waiting = self._waiting_of(step_id)
        yield from reversed(waiting)
        for start, length in reversed(self._records(step_id)):
            yield self._read(step_id, start, length)

    def read_forwards(self, step_id: int) -> Iterator[ChunkChange]:
        """Yield a step's changes in their order. One that is being written at this moment may come twice."""
        waiting = self._waiting_of(step_id)  # first: what is written meanwhile is then in the file
        for start, length in self._records(step_id):
            yield self._read(step_id, start, length)
        yield from waiting

    def _waiting_of(self, step_id: int) -> list[ChunkChange]:
        return [change for owner, change in list(self._waiting) if owner == step_id]

    def remove_all_but(self, kept: set[int]) -> None:
        """Remove the files of steps that are forgotten."""
        for path in self.folder.glob("*.changes"):
            if path.stem.isdecimal() and int(path.stem) not in kept:
                path.unlink(missing_ok=True)
                self._files.pop(int(path.stem), None)

    def trimmed(self, steps: tuple[UndoStep, ...]) -> tuple[UndoStep, ...]:
        """Return the steps that are kept: the newest, bounded in number and, beyond five, in bytes."""
        kept = steps[-MOST_STEPS:]
        sizes = [path.stat().st_size if (path := self._path(step.id)).exists() else 0 for step in kept]
        while len(kept) > FEWEST_STEPS and sum(sizes) > MOST_BYTES:
            kept, sizes = kept[1:], sizes[1:]
        return kept

    def _path(self, step_id: int) -> Path:
        return self.folder / f"{step_id:06d}.changes"

    def _file(self, step_id: int) -> AppendFile:
        if step_id not in self._files:
            records = self._records(step_id)
            self._files[step_id] = AppendFile(self._path(step_id), sum(records[-1]) if records else 0)
        return self._files[step_id]

    def _records(self, step_id: int) -> list[tuple[int, int]]:
        """Return (start, length) of each whole record; what a crash left of the last one does not count."""
        path = self._path(step_id)
        if not path.exists():
            return []
        records = []
        size = path.stat().st_size
        with path.open("rb") as file:
            position = 0
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                length, checksum = _HEAD.unpack(head)
                start = position + _HEAD.size
                if start + length > size or zlib.crc32(file.read(length)) != checksum:
                    break
                records.append((start, length))
                position = start + length
        return records

    def _read(self, step_id: int, start: int, length: int) -> ChunkChange:
        with self._path(step_id).open("rb") as file:
            file.seek(start)
            return ChunkChange.decode(file.read(length))


def next_to_undo(steps: tuple[UndoStep, ...]) -> UndoStep | None:
    """Return the last step that is not undone."""
    done = [step for step in steps if not step.undone]
    return done[-1] if done else None


def next_to_redo(steps: tuple[UndoStep, ...]) -> UndoStep | None:
    """Return the step that was undone last."""
    undone = [step for step in steps if step.undone]
    return undone[0] if undone else None


def with_step(steps: tuple[UndoStep, ...], step: UndoStep) -> tuple[UndoStep, ...]:
    """Return the steps with one replaced by its new state."""
    return tuple(step if other.id == step.id else other for other in steps)


def with_regions(step: UndoStep, change: dict[str, Any]) -> UndoStep:
    """Return the step with one more change of regions."""
    return replace(step, regions=(*step.regions, change)) if change else step
