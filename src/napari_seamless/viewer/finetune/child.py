"""The command line in a process of its own: started, watched, stopped, left to go on, and found again.

What the process says goes to files, not through pipes, and a timer reads what is new in them. So a training outlives
the viewer, whether that is closed or crashes; a viewer that is busy never holds the training up; and watching a process
that was found again is the same as watching one that was just started. That is why this is not a QProcess, which ends
its process with itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from qtpy.QtCore import QObject, QTimer, Signal

from napari_seamless.errors import TrainingError
from napari_seamless.viewer.worker import Worker

INTERRUPTED = 130
GRACE_SECONDS = 60.0
"""How long a process that was asked to stop may say nothing before it is killed: it still saves and compares."""

_LOOK_MS = 100
_LOG_LINES = 6
_LOG_BYTES = 8192
_OWN_LINE = "napari-seamless: "
_LAST_EVENTS = ("done", "written")
_NICENESS = 5

_started: dict[int, subprocess.Popen[bytes]] = {}
"""The processes that this viewer started: they are asked for their exit code, also when another widget asks."""


@dataclass(frozen=True)
class ProcessKey:
    """What finds a process again: its number, and when it began, since numbers are used again."""

    pid: int
    began: float


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes
    ----------
    message : str
        What went wrong, for the user; empty when nothing did.
    stopped : bool
        Whether it was asked to stop.
    """

    message: str = ""
    stopped: bool = False


def command_of(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs the command line with this Python."""
    return [sys.executable, "-m", "napari_seamless", *arguments]


def start_process(command: Sequence[str], events: Path, log: Path) -> ProcessKey:
    """Start a command whose standard output is added to `events` and whose standard error to `log`. Any thread.

    Raises
    ------
    TrainingError
        If it cannot be started.
    """
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    # Apart from the terminal's group: Ctrl-C there, or closing it, is for napari.
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    try:
        with events.open("ab") as output, log.open("ab") as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, **apart
            )
    except OSError as error:
        raise TrainingError(f"the training could not be started ({error.strerror}): {command[0]}") from error
    _started[process.pid] = process
    return ProcessKey(process.pid, _make_modest(process.pid))


def _make_modest(pid: int) -> float:
    """Let the viewer go first where both want the processor; return when the process began."""
    try:
        process = psutil.Process(pid)
        if sys.platform != "win32":
            process.nice(_NICENESS)
        return float(process.create_time())
    except psutil.Error:  # it has ended already, which whoever watches it will see
        return 0.0


def is_alive(key: ProcessKey) -> bool:
    """Whether a process runs."""
    own = _started.get(key.pid)
    if own is not None:
        return own.poll() is None
    try:
        process = psutil.Process(key.pid)
        return abs(process.create_time() - key.began) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _send(key: ProcessKey, number: int) -> None:
    if is_alive(key):
        try:
            os.kill(key.pid, number)
        except ProcessLookupError:  # it ended in between
            return


def interrupt(key: ProcessKey) -> None:
    """Ask a process to stop and to keep what it has, as Ctrl-C does."""
    if sys.platform == "win32":
        _send(key, signal.CTRL_BREAK_EVENT)
    else:
        _send(key, signal.SIGINT)


def kill(key: ProcessKey) -> None:
    """End a process at once."""
    if sys.platform == "win32":
        _send(key, signal.SIGTERM)  # which ends it at once there
    else:
        _send(key, signal.SIGKILL)


class EventFile:
    """A growing file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._rest = b""

    def read_new(self) -> list[dict[str, Any]]:
        """Return the events that were written since the last call; lines that are none are not for us."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        return [event for event in map(_event_in, lines) if event is not None]


def _event_in(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


class Child(QObject):
    """Watches a process; what it says arrives on the main thread.

    Signals
    -------
    event
        A dict for each JSON line.
    ended
        An `Ending`, after the last event.

    Parameters
    ----------
    key : ProcessKey
    events, log : pathlib.Path
        The files given to `start_process`.
    """

    event = Signal(object)
    ended = Signal(object)

    def __init__(self, key: ProcessKey, events: Path, log: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.key = key
        self.is_stopping = False
        self._file = EventFile(events)
        self._log = log
        self._last_event = ""
        self._deadline = float("inf")
        self._is_reading = False
        self._worker = Worker(self)
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._look_at_it)
        self._look.start()

    @property
    def is_watched(self) -> bool:
        """Whether there may be more to come."""
        return self._look.isActive()

    def stop(self) -> None:
        """Ask the process to stop and to keep what it has; the second time, end it at once."""
        if self.is_stopping:
            kill(self.key)
            return
        self.is_stopping = True
        self._deadline = time.monotonic() + GRACE_SECONDS
        interrupt(self.key)

    def leave(self) -> None:
        """Look no more; the process goes on."""
        self._look.stop()

    def _look_at_it(self) -> None:
        if self._is_reading:
            return
        if time.monotonic() > self._deadline:
            kill(self.key)
        is_over = not is_alive(self.key)  # asked first: whatever came before is in what is read next
        self._is_reading = True
        self._worker.fetch(self._file.read_new, partial(self._deliver, is_over), self._on_unreadable)

    def _deliver(self, is_over: bool, events: list[dict[str, Any]]) -> None:
        self._is_reading = False
        if not self.is_watched:
            return
        for event in events:
            self._last_event = event["event"]
            if self.is_stopping:
                self._deadline = time.monotonic() + GRACE_SECONDS
            self.event.emit(event)
        if is_over:
            self._look.stop()
            self.ended.emit(self._ending())

    def _on_unreadable(self, error: BaseException) -> None:
        self._look.stop()
        self.ended.emit(Ending(f"The training goes on, but what it says can't be read: {error}", self.is_stopping))

    def _ending(self) -> Ending:
        own = _started.pop(self.key.pid, None)
        code = None if own is None else own.returncode
        lines = last_lines(self._log)
        is_refusal = code == 1 and bool(lines) and lines[-1].startswith(_OWN_LINE)
        is_complete = code in (0, INTERRUPTED) or (code is None and self._last_event in _LAST_EVENTS)
        if is_complete or (self.is_stopping and not is_refusal):
            return Ending("", self.is_stopping or code == INTERRUPTED)
        if is_refusal:
            return Ending(f"The training failed: {lines[-1].removeprefix(_OWN_LINE)}", self.is_stopping)
        return Ending("\n".join([_how_it_ended(code), *(("Its last lines:", *lines) if lines else ())]))


def last_lines(log: Path) -> list[str]:
    """Return the last lines of a log that are not empty."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return [f"(its log can't be read: {error.strerror})"]
    return [line.rstrip() for line in text.splitlines() if line.strip()][-_LOG_LINES:]


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "The training ended while nobody was watching, without a result."
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"The training was ended from outside ({name}); systems do that when memory runs out."
    return f"The training ended unexpectedly (exit code {code})."
