"""The progress bar on stderr, with rate and time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from napari_seamless.events import Event

STAGES = {"tile": ("Segmenting", "tiles"), "stitch": ("Joining objects", "steps")}
"""What an event is a step of, and what its numbers count."""


class RateColumn(ProgressColumn):
    """``3.2 tiles/s``, or ``4.1 s/tile`` when one takes longer than a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        unit = task.fields["unit"]
        return Text(f"{speed:.1f} {unit}/s" if speed >= 1 else f"{1 / speed:.1f} s/{unit.removesuffix('s')}")


class ProgressBar:
    """One bar for each stage of a job; lines of text appear above the bars."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
            redirect_stdout=False,  # answers and JSON lines belong to stdout, bar or not
            redirect_stderr=False,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Draw one event; with ``done`` the bars stay as they are."""
        if event.name == "plan":
            self._advance("tile", 0, event.fields["n_tiles"])
        elif event.name in STAGES and {"done", "total"} <= event.fields.keys():
            self._advance(event.name, event.fields["done"], event.fields["total"])
        elif event.name == "done":
            self._progress.stop()

    def print_above(self, text: str) -> None:
        """Print a line that stays, above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def _advance(self, name: str, done: int, total: int) -> None:
        if name not in self._tasks:
            stage, unit = STAGES[name]
            self._tasks[name] = self._progress.add_task(stage, total=total, unit=unit)
        self._progress.update(self._tasks[name], completed=done, total=total)
