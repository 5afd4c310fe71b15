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

STAGES = {"tile": "Segmenting", "stitch": "Joining objects"}


class RateColumn(ProgressColumn):
    """``3.2 tiles/s``, or ``4.1 s/tile`` when one takes longer than a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        if speed >= 1:
            return Text(f"{speed:.1f} {self.unit}/s")
        return Text(f"{1 / speed:.1f} s/{self.unit.removesuffix('s')}")


class ProgressBar:
    """One bar for each stage of a job; lines of text appear above the bars."""

    def __init__(self, unit: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(unit),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
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
        """Draw one event."""
        if event.name == "plan":
            self._advance("tile", 0, event.fields["n_tiles"])
        elif event.name in STAGES and {"done", "total"} <= event.fields.keys():
            self._advance(event.name, event.fields["done"], event.fields["total"])

    def print_above(self, text: str) -> None:
        """Print a line that stays, above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def _advance(self, name: str, done: int, total: int) -> None:
        stage = STAGES[name]
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)
