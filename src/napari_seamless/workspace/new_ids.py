"""Ids for predicted objects that nobody ever used, not even while the prediction is being written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import WorkspaceError
from napari_seamless.workspace.storage import Storage

LARGEST_ID = 2**32 - 1
_PAGE = 1024


class NewIds:
    """Maps the numbers of one prediction (1, 2, 3, ...) to new ids, a page of consecutive ones at a time.

    Parameters
    ----------
    storage : Storage
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._pages: dict[int, int] = {}
        self._given: dict[int, NDArray[np.bool_]] = {}
        self._exceptions: dict[int, int] = {}
        self._largest = 0

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Watch what is painted meanwhile, and give back at the end what was reserved but not used."""
        storage = self._storage
        with storage.lock:
            storage.watched_ids = set()
        try:
            yield
        finally:
            with storage.lock:
                storage.watched_ids = None
                ends = [first + _PAGE for first in self._pages.values()]
                if ends and storage.next_id == max(ends):
                    storage.next_id = self._largest + 1

    def of(self, number: int) -> int:
        """Return the id of a predicted object, always the same one.

        Raises
        ------
        WorkspaceError
            If there are no more ids.
        """
        if number in self._exceptions:
            return self._exceptions[number]
        page, place = divmod(number - 1, _PAGE)
        with self._storage.lock:
            if page not in self._pages:
                self._pages[page] = self._reserve(_PAGE)
                self._given[page] = np.zeros(_PAGE, np.bool_)
            new_id = self._pages[page] + place
            if not self._given[page][place] and new_id in (self._storage.watched_ids or ()):
                new_id = self._exceptions[number] = self._reserve(1)  # a person began an object with it just now
            self._given[page][place] = True
            self._largest = max(self._largest, new_id)
        return new_id

    def _reserve(self, count: int) -> int:
        """Reserve consecutive ids; the journal knows of them before any label has them."""
        first = self._storage.next_id
        if first + count > LARGEST_ID:
            raise WorkspaceError(
                f"object ids up to {LARGEST_ID} are used up: export the labels and begin a new workspace"
            )
        self._storage.commit("ids", next_id=first + count)
        return first
