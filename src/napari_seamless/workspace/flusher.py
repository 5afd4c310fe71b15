"""The thread that saves a workspace while a person works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from napari_seamless.errors import FileWriteError
from napari_seamless.workspace.storage import Storage


class Flusher:
    """A thread that saves while a person works: the journal every half second, the arrays when the hand rests.

    Parameters
    ----------
    storage : Storage
    on_trouble : callable
        Receives the error when saving begins to fail, and None when it works again.
    """

    SECONDS_TO_JOURNAL = 0.5
    SECONDS_TO_ARRAYS = 5.0

    def __init__(self, storage: Storage, on_trouble: Callable[[FileWriteError | None], None]) -> None:
        self._storage, self._on_trouble = storage, on_trouble
        self._stop = threading.Event()
        self.trouble: FileWriteError | None = None
        self._thread = threading.Thread(target=self._run, name="workspace flusher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is waiting is left to the caller."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        arrays_saved = time.monotonic()
        while not self._stop.wait(self.SECONDS_TO_JOURNAL):
            is_resting = not self._storage.has_waiting_entries
            is_late = time.monotonic() - arrays_saved > self.SECONDS_TO_ARRAYS
            arrays = self._storage.is_unsaved and (is_resting or is_late)
            if not arrays and is_resting:
                continue
            self.save(arrays=arrays)
            if arrays:
                arrays_saved = time.monotonic()

    def save(self, *, arrays: bool) -> None:
        """Save, and tell when that begins to fail and when it works again."""
        try:
            self._storage.flush(arrays=arrays)
        except FileWriteError as error:
            if self.trouble is None:
                self._on_trouble(error)
            self.trouble = error
        else:
            if self.trouble is not None:
                self._on_trouble(None)
            self.trouble = None
