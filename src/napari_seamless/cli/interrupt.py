"""Ctrl-C: the first one asks the running job to stop cleanly, the second one stops at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from napari_seamless.events import ShouldStop

NOTICE = b"\nStopping after the step in flight. Press Ctrl-C again to stop at once.\n"


@contextmanager
def stop_on_signal() -> Iterator[ShouldStop]:
    """Yield a `should_stop` that turns True at the first SIGINT (Ctrl-C) or SIGTERM (what job schedulers send).

    On Windows also at SIGBREAK, the one signal that another program can send there.

    A second signal raises KeyboardInterrupt wherever the program is. The former handlers come back at the end.
    """
    asked = threading.Event()

    def ask(signal_number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        # A handler may interrupt a write to sys.stderr, which does not take a second one meanwhile: write past it.
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, NOTICE)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    former = [signal.signal(number, ask) for number in numbers]
    try:
        yield asked.is_set
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)
