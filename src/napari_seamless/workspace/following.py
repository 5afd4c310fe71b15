"""A workspace that is open read-only follows the program that writes it, by what that brings to the disk."""

from __future__ import annotations

from pathlib import Path

from napari_seamless.workspace.state import STATE, read_state
from napari_seamless.workspace.storage import Storage

_Mark = tuple[int, int, int]
"""What tells that a file is another one or a longer one: when it was written, its length, its number."""


class Follower:
    """Looks whether there is anything new, by the times of a few files, and reads it.

    The arrays are read anew when ``state.json`` is another one, for it is written after them; what is newer than that
    is in the journal. Labels that are being written at this moment may be seen a little early.

    Parameters
    ----------
    storage : Storage
        Open read-only.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._state: _Mark | None = None
        self._journal: dict[str, _Mark] = {}

    def follow(self) -> bool:
        """Read what was written since the last call; return whether there was anything. Not for two threads at once.

        Raises
        ------
        WorkspaceError
            If what was written is damaged.
        """
        folder = self._storage.folder
        state = _mark(folder / STATE)
        journal = {path.name: mark for path in (folder / "journal").glob("*.jsonl") if (mark := _mark(path))}
        is_gone = state is None and not journal
        if is_gone or (state == self._state and journal == self._journal):
            return False
        if state != self._state:
            self._storage.take_state(read_state(folder))
        self._storage.replay()
        self._state, self._journal = state, journal
        return True


def _mark(path: Path) -> _Mark | None:
    try:
        found = path.stat()
    except OSError:  # not there, or not at this moment
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
