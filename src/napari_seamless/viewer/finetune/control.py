"""Starts a training, follows it, finds one that was left to go on, and says how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, Signal

from napari_seamless.viewer.controls import single_shot
from napari_seamless.viewer.finetune.child import Child, Ending
from napari_seamless.viewer.finetune.progress import (
    Comparison,
    TrainingProgress,
    first_model,
    rescued,
    without_weights,
)
from napari_seamless.viewer.finetune.run import TrainingRequest, begin, go_on
from napari_seamless.viewer.finetune.run_folder import Run, undecided
from napari_seamless.viewer.reporting import report

if TYPE_CHECKING:
    from napari_seamless.viewer.worker import Worker
    from napari_seamless.workspace.session import Workspace

_TELL_MS = 100
_NOTHING_KEPT = "Stopped before there was anything to keep."


class FinetuneControl(QObject):
    """At most one training at a time.

    Signals
    -------
    started
        A training is being started, or one was found that goes on.
    progressed
        `progress` is another than before; at most ten times a second.
    snapshot
        Where the present weights are.
    finished
        A `Run` and its `Comparison`: there is a model, or an interrupted run, to decide about.
    ended
        One line on how the training ended, whether there is a model or not.

    Parameters
    ----------
    worker : Worker
    """

    started = Signal()
    progressed = Signal()
    snapshot = Signal(object)
    finished = Signal(object, object)
    ended = Signal(str)

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run: Run | None = None
        self.progress = TrainingProgress()
        self._worker = worker
        self._child: Child | None = None
        self._is_starting = False
        self._stop_wanted = False
        self._told_notices = 0
        self._looked: set[Path] = set()
        self._tell = single_shot(_TELL_MS, self._on_progress, self)

    @property
    def is_running(self) -> bool:
        """Whether a training is started or goes on."""
        return self._is_starting or self._child is not None

    @property
    def is_stopping(self) -> bool:
        """Whether the training was asked to stop."""
        return self._stop_wanted or (self._child is not None and self._child.is_stopping)

    def start(self, request: TrainingRequest, workspaces: Sequence[Workspace]) -> None:
        """Start a training; `started` and `ended` tell what becomes of it."""
        self._begin(partial(begin, request, tuple(workspaces)), self._on_not_begun)

    def go_on(self, run: Run, workspaces: Sequence[Workspace]) -> None:
        """Go on with a training that was interrupted; without success it is offered for a decision again."""

        def on_error(error: BaseException) -> None:
            self._on_not_begun(error)
            self.finished.emit(run, comparison)

        comparison = self._comparison(run)
        self._begin(partial(go_on, run, tuple(workspaces)), on_error)

    def _begin(self, start: Callable[[], Run], on_error: Callable[[BaseException], None]) -> None:
        self._is_starting, self._stop_wanted = True, False
        self.run, self.progress = None, TrainingProgress()
        self._worker.fetch(start, self._on_begun, on_error)
        self.started.emit()

    def stop(self) -> None:
        """Ask the training to stop and to keep the best weights; the second time, end it at once."""
        if self._child is not None:
            self._child.stop()
        elif self._is_starting:
            self._stop_wanted = True
        self._tell.start()

    def leave(self) -> None:
        """Follow the training no more; it goes on, and is found again by `look_for`."""
        if self._child is not None:
            self._child.leave()
            self._child = None
            self._looked.clear()

    def look_for(self, runs: Path) -> None:
        """Look in a workspace's ``runs/`` for a training that goes on, or waits for a decision; once for each."""
        if not self.is_running and runs not in self._looked:
            self._looked.add(runs)
            self._worker.fetch(partial(undecided, runs), self._on_found, report)

    def look_again(self) -> None:
        """Let `look_for` look once more, now that a decision was made."""
        self._looked.clear()

    def _on_found(self, runs: Sequence[Run]) -> None:
        if runs and not self.is_running:
            alive = [run for run in runs if run.is_alive]
            self._follow((alive or runs)[0])
            self.started.emit()

    def _on_begun(self, run: Run) -> None:
        self._is_starting = False
        self._follow(run)
        if self._stop_wanted:
            self._stop_wanted = False
            self.stop()

    def _on_not_begun(self, error: BaseException) -> None:
        self._is_starting = self._stop_wanted = False
        report(error)
        self.ended.emit(f"Not started: {error}")

    def _follow(self, run: Run) -> None:
        self.run, self.progress = run, TrainingProgress()
        self._told_notices = 0
        self._child = Child(run.key, run.events, run.log, self)
        self._child.event.connect(self._on_event)
        self._child.ended.connect(self._on_ended)

    def _on_event(self, event: dict[str, Any]) -> None:
        self.progress.apply(event)
        if event["event"] == "snapshot":
            self.snapshot.emit(self.progress.snapshot)
        if not self._tell.isActive():
            self._tell.start()

    def _on_progress(self) -> None:
        for notice in self.progress.notices[self._told_notices :]:
            show_warning(notice)
        self._told_notices = len(self.progress.notices)
        self.progressed.emit()

    def _on_ended(self, ending: Ending) -> None:
        self._tell.stop()
        self._on_progress()
        self._child.deleteLater()
        self._child = None
        run = self.run
        if ending.message:
            kept = "\nThe weights that it had saved on the way are kept." if run.kept is not None else ""
            left = "\nIt can go on from where it last saved everything." if run.can_go_on else ""
            show_error(f"{ending.message}{kept}{left}")
        if run.kept is None and not run.can_go_on:
            self.ended.emit(ending.message.partition("\n")[0] or _NOTHING_KEPT)
            return
        self.ended.emit("Stopped." if ending.stopped else "Done." if not ending.message else "")
        self.finished.emit(run, self._comparison(run))

    def _comparison(self, run: Run) -> Comparison:
        if run.kept is None:
            return without_weights(self.progress.step)
        if run.kept != run.model:
            return rescued(self.progress.snapshot_step)
        if self.progress.comparison is not None:
            return self.progress.comparison
        return rescued(self.progress.step) if run.record.model else first_model(self.progress.best)
