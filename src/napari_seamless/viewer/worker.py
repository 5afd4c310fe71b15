"""A background thread for a widget; what it finds out comes back on the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, QTimer

_LOOK_MS = 50

OnResult = Callable[[Any], None]
OnError = Callable[[BaseException], None]


class Worker(QObject):
    """Runs one thing after the other in a thread of its own.

    Results are fetched by a timer that runs only while something is under way: no thread but the main one ever
    touches Qt, and nothing is delivered to a widget that is gone.

    Parameters
    ----------
    owner : QObject
        The widget; when it is destroyed, or the application ends, everything under way is asked to stop.
    """

    def __init__(self, owner: QObject) -> None:
        super().__init__(owner)
        self._thread = _Thread()
        self._pending: list[tuple[Future[Any], OnResult, OnError]] = []
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._deliver)
        owner.destroyed.connect(self._thread.close)
        QCoreApplication.instance().aboutToQuit.connect(self._thread.close)

    @property
    def is_closing(self) -> Callable[[], bool]:
        """Whether the widget is gone; safe to call from the thread, and after the widget's end."""
        return self._thread.closing.is_set

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """Run a function in the thread; the caller looks at the future."""
        return self._thread.executor.submit(function)

    def fetch(self, function: Callable[[], Any], on_result: OnResult, on_error: OnError) -> Future[Any]:
        """Run a function in the thread and hand its result, or its exception, over on the main thread."""
        future = self.submit(function)
        self._pending.append((future, on_result, on_error))
        self._look.start()
        return future

    def forget(self, future: Future[Any]) -> None:
        """Drop a result that is no longer wanted."""
        future.cancel()
        self._pending = [entry for entry in self._pending if entry[0] is not future]

    def _deliver(self) -> None:
        finished = [entry for entry in self._pending if entry[0].done()]
        self._pending = [entry for entry in self._pending if entry not in finished]
        if not self._pending:
            self._look.stop()
        for future, on_result, on_error in finished:
            error = future.exception()
            if error is None:
                on_result(future.result())
            else:
                on_error(error)


class _Thread:
    """The thread itself, apart from Qt: it outlives the widget by what is left of the current tile."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="napari-seamless")

    def close(self) -> None:
        self.closing.set()
        self.executor.shutdown(wait=False, cancel_futures=True)
