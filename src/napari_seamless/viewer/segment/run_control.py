"""Starts a run, brings what it does into the viewer ten times a second, and ends it in every case in a clean state."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from napari.utils import progress
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_seamless.errors import Cancelled
from napari_seamless.viewer.correct.output import Delivery, WorkspaceOutput
from napari_seamless.viewer.correct.start import begin_to_correct
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.segment.job import SegmentJob, SegmentRequest
from napari_seamless.viewer.segment.labels_output import LabelsOutput, channel_of
from napari_seamless.viewer.segment.run_panel import RunPanel
from napari_seamless.viewer.wording import count, duration, plan_line

if TYPE_CHECKING:
    import napari

    from napari_seamless.viewer.image_choice import ImageChoice
    from napari_seamless.viewer.worker import Worker

_LOOK_MS = 100


class RunControl(QObject):
    """At most one run at a time.

    Signals
    -------
    started, ended
    """

    started = Signal()
    ended = Signal()

    def __init__(self, viewer: napari.Viewer, worker: Worker, panel: RunPanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.job: SegmentJob | None = None
        self._viewer = viewer
        self._worker = worker
        self._panel = panel
        self._output: LabelsOutput | None = None
        self._activity: progress | None = None
        self._notice = ""
        self._is_looking = False
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._look_at_job)
        panel.cancel.connect(self.cancel)

    @property
    def is_running(self) -> bool:
        """Whether a run is in progress."""
        return self.job is not None

    def start(self, request: SegmentRequest, image: ImageChoice, model_name: str) -> None:
        """Start a run."""
        workspaces = workspaces_of(self._viewer)
        correction = workspaces.of_layer(image.layers[0])
        if correction is None or correction.workspace.read_only:
            self.job = SegmentJob(request, self._worker)
            self._output = LabelsOutput(self._viewer, image, self.job, model_name)
        else:
            channel = channel_of(image.layers, request.options)
            delivery = Delivery(workspaces, correction, request, model_name, channel)
            self.job = SegmentJob(request, self._worker, delivery)
            self._output = WorkspaceOutput(self._viewer, image, self.job, model_name, correction)
        self._activity = progress(total=0, desc=f"Segmenting {image.name}")
        self._notice = ""
        self._look.start()
        self._look_at_job()
        self.started.emit()

    def cancel(self) -> None:
        """Ask the run to stop; it ends after the current tile."""
        if self.job is not None:
            self.job.cancel()
            self._panel.show_running(self.job.progress, is_cancelled=True)

    def layer_removed(self, layer: object) -> None:
        """Stop the run that a removed layer belongs to."""
        if self._output is not None and self._output.concerns(layer):
            self._output.layer_removed(layer)
            self.cancel()

    def _look_at_job(self) -> None:
        if self.job is None or self._output is None or self._is_looking:
            return
        self._is_looking = True  # napari's progress bar runs the event loop, and with it this timer, while it is set
        try:
            self._bring_up_to_date(self.job, self._output)
        finally:
            self._is_looking = False

    def _bring_up_to_date(self, job: SegmentJob, output: LabelsOutput) -> None:
        is_done = job.future.done()  # asked first: whatever came before is in what is shown next
        output.show_tiles()
        self._show_progress(job)
        if is_done:
            self._end(job, output)

    def _show_progress(self, job: SegmentJob) -> None:
        now = job.progress
        self._panel.show_running(now, job.is_cancelled)
        if job.plan:
            self._panel.set_estimate(plan_line(job.plan))
        if now.notice != self._notice:
            self._notice = now.notice
            show_warning(now.notice)
        if self._activity is not None and now.total:
            if self._activity.total != now.total:
                self._activity.total = now.total
            if now.done > self._activity.n:
                self._activity.update(now.done - self._activity.n)

    def _end(self, job: SegmentJob, output: LabelsOutput) -> None:
        self._look.stop()
        if self._activity is not None:
            self._activity.close()
        self.job = self._output = self._activity = None
        try:
            outcome = self._outcome(job, output)
        finally:
            self._panel.show_idle("")
            self.ended.emit()
        self._panel.show_idle(outcome)

    def _outcome(self, job: SegmentJob, output: LabelsOutput) -> str:
        """Show the result, or what came instead, and return the sentence that says which."""
        error = CancelledError() if job.future.cancelled() else job.future.exception()
        if error is None:
            output.finish(job.future.result())
            self._offer(job, output)
            return f"{_summary(job.facts)} {output.summary()}".strip()
        output.keep_tiles()
        kept = output.kept(job.progress.done, job.progress.total)
        if isinstance(error, Cancelled | CancelledError):
            return f"Cancelled. {kept}".strip()
        report(error)
        return f"Failed: {error}\n{kept}".strip()

    def _offer(self, job: SegmentJob, output: LabelsOutput) -> None:
        """Offer to correct a result that became a layer of its own."""
        layer = output.layer
        if layer is None:
            return

        def correct() -> None:
            workspaces = workspaces_of(self._viewer)
            begin_to_correct(self._viewer, workspaces, output.image, job.request.source.axes.replace("S", ""), layer)

        self._panel.offer_to_correct(correct)


def _summary(facts: dict[str, Any]) -> str:
    n_objects = facts.get("n_objects")
    found = "Done" if n_objects is None else f"Found {count(n_objects, 'object')}"
    return f"{found} in {duration(facts['seconds'])}."
