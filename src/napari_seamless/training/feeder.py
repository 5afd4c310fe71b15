"""Batches made by background threads while the network computes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

_Batch = TypeVar("_Batch")

_MOST_THREADS = 4


class Feeder(Generic[_Batch]):
    """Makes batches ahead of time, in several threads, and hands them out in their order.

    Batch i depends on i alone, so that a run that goes on at batch i sees what an uninterrupted one would have seen.

    Parameters
    ----------
    make_batch : callable
        Returns the batch of a number; called by several threads at once.
    first : int
        Number of the first batch.
    ahead : int
        How many batches are ready or under way.
    threads : int, optional
        By default one for every two cores, at most 4: the network wants the cores, too.

    Attributes
    ----------
    waited : float
        Seconds that `take` has spent waiting.
    """

    def __init__(
        self, make_batch: Callable[[int], _Batch], first: int = 0, *, ahead: int = 4, threads: int | None = None
    ) -> None:
        self.waited = 0.0
        self._make_batch = make_batch
        self._next = first
        self._ahead = ahead
        self._batches: deque[Future[_Batch]] = deque()
        self._threads = ThreadPoolExecutor(threads or _thread_count(), thread_name_prefix="patches")

    def __enter__(self) -> Feeder[_Batch]:
        self._refill()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def take(self) -> _Batch:
        """Return the next batch; an error in its making is raised here."""
        began = time.monotonic()
        batch = self._batches.popleft().result()
        self.waited += time.monotonic() - began
        self._refill()
        return batch

    def _refill(self) -> None:
        while len(self._batches) < self._ahead:
            self._batches.append(self._threads.submit(self._make_batch, self._next))
            self._next += 1


def _thread_count() -> int:
    return max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // 2))
