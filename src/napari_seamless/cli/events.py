"""What a running job tells: a progress bar for people, JSON lines for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from napari_seamless.cli.units import seconds_text
from napari_seamless.errors import FileWriteError
from napari_seamless.events import Event

if TYPE_CHECKING:
    from napari_seamless.cli.progress import ProgressBar

STDOUT = "-"


class Reporter:
    """Passes a job's events on, and prints what the command itself has to say.

    Attributes
    ----------
    facts : dict of str to dict
        The fields of the last event of each name.
    """

    def __init__(self, bar: ProgressBar | None, lines: TextIO | None, answers: TextIO) -> None:
        self.facts: dict[str, dict[str, Any]] = {}
        self._bar = bar
        self._lines = lines
        self._answers = answers

    def on_event(self, event: Event) -> None:
        """Take one event; the job calls this."""
        self.facts[event.name] = dict(event.fields)
        if self._lines is not None:
            self._lines.write(json.dumps(plain(event.as_dict())) + "\n")
            self._lines.flush()
        if self._bar is not None:
            self._bar.show(event)
        text = self._text_of(event)
        if text is not None:
            self._tell(text)

    def _text_of(self, event: Event) -> str | None:
        """Return the line that an event is worth to a person, if it is."""
        if event.name == "notice":
            return str(event.fields["message"])
        if event.name == "validation":
            return _epoch_text(self.facts.get("epoch", {}), event.fields)
        return None

    def _tell(self, text: str) -> None:
        if self._bar is not None:
            self._bar.print_above(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Print a line of the command's answer: on stdout, unless the events are written there."""
        print(text, file=self._answers, flush=True)


@contextmanager
def reporting(events: str | None) -> Iterator[Reporter]:
    """Yield a `Reporter` for one command.

    Parameters
    ----------
    events : str or None
        The option ``--events``: a file's path, ``-`` for stdout, or None.

    Raises
    ------
    FileWriteError
        If the file for the events cannot be opened.
    """
    with ExitStack() as stack:
        lines = _open_lines(events, stack)
        bar = None
        if sys.stderr.isatty() and not (events == STDOUT and sys.stdout.isatty()):
            from napari_seamless.cli.progress import ProgressBar

            bar = stack.enter_context(ProgressBar())
        yield Reporter(bar, lines, answers=sys.stderr if events == STDOUT else sys.stdout)


def _epoch_text(epoch: Mapping[str, Any], validation: Mapping[str, Any]) -> str:
    best = ", the best so far" if validation["best"] else ""
    seconds = epoch["seconds_left"]  # None: the run goes on until it is stopped
    left = "" if seconds is None else f"; {seconds_text(max(0.0, seconds))} left"
    return f"epoch {epoch['epoch']}: loss {epoch['loss']:.3f}, score {validation['score']:.3f}{best}{left}"


def _open_lines(events: str | None, stack: ExitStack) -> TextIO | None:
    if events is None:
        return None
    if events == STDOUT:
        return sys.stdout
    try:
        return stack.enter_context(Path(events).open("w", encoding="utf-8"))
    except OSError as error:
        raise FileWriteError(f"--events {events}: {error.strerror}; choose a file that can be written") from error


def plain(value: Any) -> Any:
    """Return `value` as JSON knows it: numpy scalars as numbers, paths as text, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Sequence):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
