"""The journal: JSON lines, one for everything that was done, written before the arrays are.

A line is ``{"seq": 12, "time": "...", "kind": "edit", ..., "data": "..."}``; ``data`` holds the changed pixels
(`changes.ChunkChange`, base64). Lines are only ever added. Files are named by number; a new one is begun when one gets
long, and the oldest go when there are many: the arrays hold what they say long since.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_seamless.workspace.changes import ChunkChange
from napari_seamless.workspace.disk import AppendFile

SEGMENT_BYTES = 16 * 2**20
MOST_SEGMENTS = 8


@dataclass(frozen=True, eq=False)
class Entry:
    """One line of the journal.

    Attributes
    ----------
    seq : int
        1, 2, 3, ... without gaps.
    kind : str
        ``edit``, ``verify``, ``unverify``, ``role``, ``bulk``, ``undo_bulk``, ``redo_bulk``.
    time : str
        ISO 8601, UTC.
    fields : dict
        What else is worth knowing, as JSON.
    changes : tuple of ChunkChange
        The pixels that were changed, for what is replayed after a crash.
    """

    seq: int
    kind: str
    time: str
    fields: dict[str, Any] = field(default_factory=dict)
    changes: tuple[ChunkChange, ...] = ()

    def encode(self) -> bytes:
        """Return the line."""
        line: dict[str, Any] = {"seq": self.seq, "time": self.time, "kind": self.kind, **self.fields}
        if self.changes:
            line["data"] = [base64.b64encode(change.encode()).decode("ascii") for change in self.changes]
        return json.dumps(line, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Entry:
        """Read what `encode` returned.

        Raises
        ------
        ValueError
            If the line is damaged.
        """
        try:
            values = json.loads(line)
            seq, kind, time = int(values.pop("seq")), str(values.pop("kind")), str(values.pop("time"))
            packed = values.pop("data", [])
            changes = tuple(ChunkChange.decode(base64.b64decode(item, validate=True)) for item in packed)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a line of the journal is damaged ({error})") from error
        return cls(seq, kind, time, values, changes)


@dataclass(frozen=True)
class JournalTail:
    """What was found after the entries that the arrays hold.

    Attributes
    ----------
    entries : tuple of Entry
    damaged : int
        Lines that could not be read, without the last one that a crash may have cut short.
    length : int
        Bytes up to the end of the last good line.
    """

    entries: tuple[Entry, ...]
    damaged: int
    length: int


class Journal:
    """The journal's files in a folder.

    Parameters
    ----------
    folder : pathlib.Path
    segment : int
        Number of the file that is written to.
    """

    def __init__(self, folder: Path, segment: int) -> None:
        self.folder = folder
        self.segment = segment
        self._file = AppendFile(self._path(segment), 0)

    def read_tail(self, after_seq: int) -> JournalTail:
        """Return the entries after a number, from the current file on."""
        entries: list[Entry] = []
        damaged = length = 0
        while True:
            segment_entries, bad, length = self._read_segment(self.segment)
            entries += [entry for entry in segment_entries if entry.seq > after_seq]
            damaged += bad
            if not self._path(self.segment + 1).exists():
                break
            self.segment += 1
        self._file = AppendFile(self._path(self.segment), length)
        return JournalTail(tuple(entries), damaged, length)

    def set_damaged_aside(self) -> None:
        """Keep a copy of a file with unreadable lines before it is written to again."""
        path = self._path(self.segment)
        path.with_suffix(".damaged").write_bytes(path.read_bytes())

    def append(self, entries: Iterable[Entry]) -> int:
        """Write entries and bring them to the disk; return the bytes written.

        Raises
        ------
        OSError
            What the system says; the journal is then as it was.
        """
        lines = b"".join(entry.encode() for entry in entries)
        if lines:
            self._file.append(lines)
        return len(lines)

    def begin_segment_if_long(self) -> None:
        """Begin a new file when the current one is long. To be called when the arrays hold all entries."""
        if self._file.length < SEGMENT_BYTES:
            return
        self.segment += 1
        self._file = AppendFile(self._path(self.segment), 0)
        for path in sorted(self.folder.glob("*.jsonl"))[: -(MOST_SEGMENTS - 1)]:
            path.unlink(missing_ok=True)

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:08d}.jsonl"

    def _read_segment(self, segment: int) -> tuple[list[Entry], int, int]:
        """Return the entries of a file, the number of damaged lines, and the length up to the last good line."""
        try:
            content = self._path(segment).read_bytes()
        except FileNotFoundError:
            return [], 0, 0
        entries: list[Entry] = []
        damaged = good = position = 0
        for line in content.splitlines(keepends=True):
            position += len(line)
            if not line.endswith(b"\n"):
                break  # cut short by a crash
            try:
                entries.append(Entry.decode(line))
                good = position
            except ValueError:
                damaged += 1
        return entries, damaged, good
