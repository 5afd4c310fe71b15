"""Reading the next tile and writing the last one while the network works on this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Computed = TypeVar("Computed")
Finished = TypeVar("Finished")

READ_AHEAD = 1
WRITE_BEHIND = 1
"""Tiles that wait on each side of the network: enough to hide the disk, and counted in the plan's peak memory."""


def overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Loaded],
    compute: Callable[[Item, Loaded], Computed],
    finish: Callable[[Item, Computed], Finished],
) -> Iterator[Finished]:
    """Run ``finish(item, compute(item, read(item)))`` for every item, the three steps at the same time.

    Parameters
    ----------
    items : iterable
        Asked for the next item only when there is room for it; an error it raises ends the work like any other.
    read : callable
        Called in a thread of its own, at most `READ_AHEAD` items ahead.
    compute : callable
        Called in the caller's thread.
    finish : callable
        Called in a thread of its own, at most `WRITE_BEHIND` items behind.

    Yields
    ------
    What `finish` returned, in the order of the items. Everything that was computed is finished and yielded before the
    first error, wherever it came from, is raised.
    """
    waiting = iter(items)
    loading: deque[tuple[Item, Future[Loaded]]] = deque()
    finishing: deque[Future[Finished]] = deque()
    with ThreadPoolExecutor(1, "read-ahead") as reader, ThreadPoolExecutor(1, "write-behind") as writer:
        try:
            while _load_more(waiting, loading, reader, read):
                item, loaded = loading.popleft()
                pixels = loaded.result()
                _load_more(waiting, loading, reader, read)
                finishing.append(writer.submit(finish, item, compute(item, pixels)))
                while len(finishing) > WRITE_BEHIND:
                    yield _next_result(finishing)
        except GeneratorExit:
            raise
        except BaseException:
            yield from _results(finishing)
            raise
        else:
            yield from _results(finishing)
        finally:
            for _, unread in loading:
                unread.cancel()


def _load_more(
    waiting: Iterator[Item],
    loading: deque[tuple[Item, Future[Loaded]]],
    reader: ThreadPoolExecutor,
    read: Callable[[Item], Loaded],
) -> bool:
    """Start reading until enough items are on their way; return whether any is."""
    while len(loading) < READ_AHEAD:
        try:
            item = next(waiting)
        except StopIteration:
            break
        loading.append((item, reader.submit(read, item)))
    return bool(loading)


def _results(finishing: deque[Future[Finished]]) -> Iterator[Finished]:
    while finishing:
        yield _next_result(finishing)


def _next_result(finishing: deque[Future[Finished]]) -> Finished:
    try:
        return finishing.popleft().result()
    except BaseException:
        finishing.clear()  # nothing is yielded past an item that could not be finished
        raise
