"""Batches made by a background thread while the network computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import TypeVar

_Batch = TypeVar("_Batch")
_POLL_SECONDS = 0.1


def prefetched(make_batch: Callable[[], _Batch], ahead: int = 3) -> Generator[_Batch]:
    """Yield batches for ever, made up to `ahead` in advance by one thread, in a fixed order.

    Closing the generator ends the thread; an error inside `make_batch` is raised here.
    """
    ready: queue.Queue[_Batch | BaseException] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()
    thread = threading.Thread(target=_fill, args=(make_batch, ready, stopped), name="patches", daemon=True)
    thread.start()
    try:
        while True:
            batch = ready.get()
            if isinstance(batch, BaseException):
                raise batch
            yield batch
    finally:
        stopped.set()
        thread.join()


def _fill(
    make_batch: Callable[[], _Batch], ready: queue.Queue[_Batch | BaseException], stopped: threading.Event
) -> None:
    while not stopped.is_set():
        item: _Batch | BaseException
        try:
            item = make_batch()
        except BaseException as error:  # handed to the consumer, which raises it
            item = error
        while not stopped.is_set():
            try:
                ready.put(item, timeout=_POLL_SECONDS)
                break
            except queue.Full:
                continue
        if isinstance(item, BaseException):
            return
