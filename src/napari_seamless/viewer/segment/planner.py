"""Says beforehand what a run will take: plans are made in the background, a moment after the last change."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_seamless.viewer.controls import single_shot
from napari_seamless.viewer.segment.job import SegmentRequest, plan_request

if TYPE_CHECKING:
    from napari_seamless.inference.plan import SegmentationPlan
    from napari_seamless.viewer.worker import Worker

_WAIT_MS = 300
"""Changes that follow each other faster than this, such as those while zooming, make one plan."""


class Planner(QObject):
    """Plans the latest request; requests that were overtaken are dropped.

    Signals
    -------
    due
        Time to read the controls and call `plan`.
    planned
        The plan of the latest request: at once without its duration, and again when that has been measured.
    failed
        The exception that its planning ended with.

    Parameters
    ----------
    worker : Worker
        For the plan itself, which is a matter of milliseconds.
    engine : Worker
        For measuring how fast the network runs here; shared with the runs, which it would slow down.
    """

    due = Signal()
    planned = Signal(object)
    failed = Signal(object)

    def __init__(self, worker: Worker, engine: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self._engine = engine
        self._future: Future[SegmentationPlan] | None = None
        self._wait = single_shot(_WAIT_MS, self.due.emit, self)

    def schedule(self) -> None:
        """Emit `due` in a moment; calls in between start the wait anew."""
        self.forget()
        self._wait.start()

    def plan(self, request: SegmentRequest) -> None:
        """Plan in the background."""
        self.forget()

        def measure(plan: SegmentationPlan) -> None:
            self.planned.emit(plan)
            self._fetch(self._engine, request, calibrate=True, on_plan=self.planned.emit)

        self._fetch(self._worker, request, calibrate=False, on_plan=measure)

    def _fetch(
        self, worker: Worker, request: SegmentRequest, *, calibrate: bool, on_plan: Callable[[SegmentationPlan], None]
    ) -> None:
        self._future = worker.fetch(partial(plan_request, request, calibrate), on_plan, self.failed.emit)

    def forget(self) -> None:
        """Drop what is scheduled or being planned."""
        self._wait.stop()
        if self._future is not None:
            for worker in (self._worker, self._engine):
                worker.forget(self._future)
            self._future = None
