"""The dock widget Fine-tune: learn from corrections, watch, compare, adopt."""

from __future__ import annotations

import importlib
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_seamless.viewer.controls import single_shot
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.finetune.closing import ClosingQuestion
from napari_seamless.viewer.finetune.compare_panel import ComparePanel
from napari_seamless.viewer.finetune.compare_view import CompareView
from napari_seamless.viewer.finetune.control import FinetuneControl
from napari_seamless.viewer.finetune.form import FinetuneForm
from napari_seamless.viewer.finetune.models import StartingModels, adopt_result, starting_models, suggested_name
from napari_seamless.viewer.finetune.panel import FinetunePanel
from napari_seamless.viewer.finetune.preview import LivePreview
from napari_seamless.viewer.finetune.progress import Comparison
from napari_seamless.viewer.finetune.run import new_folder, shell_command
from napari_seamless.viewer.finetune.run_folder import Run, decide, model_in
from napari_seamless.viewer.model_changes import model_changes
from napari_seamless.viewer.pages import Pages
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.segment.again import segment_again
from napari_seamless.viewer.worker import Worker

if TYPE_CHECKING:
    import napari

    from napari_seamless.viewer.correct.correction import Correction

_RUNNING = "A training is in progress: wait for it, or stop it."
_LOOKING = "Looking for models…"


class FinetuneWidget(QWidget):
    """Dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._worker = Worker(self)  # short things
        self._engine = Worker(self)  # what keeps the processor busy, one thing at a time
        self._workspaces = workspaces_of(napari_viewer)
        self._has_models = False
        self._known_folders: set[Path] = set()
        self._run: Run | None = None
        self._comparison = Comparison()
        self._after: Path | None = None
        self._shown_points = (0, 0)
        self._shown_returns = 0
        self.form = FinetuneForm()
        self.panel = FinetunePanel()
        self.view = CompareView(napari_viewer, self._engine, self)
        self.result = ComparePanel(self.view)
        self.control = FinetuneControl(self._worker, self)
        self.preview = LivePreview(napari_viewer, self._engine, lambda: self.panel.preview_box.setChecked(False))
        self.closing = ClosingQuestion(lambda: self.control.is_running, self._ends_by_itself, self.control.stop, self)
        self._lay_out()
        self._connect()
        self._on_workspaces_changed()
        single_shot(0, self._look_around, self).start()  # once the widget is on the screen

    def _lay_out(self) -> None:
        training = QWidget()
        column = QVBoxLayout(training)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form)
        column.addWidget(self.panel)
        self.pages = Pages(training, self.result)
        layout = QVBoxLayout(self)
        layout.addWidget(self.pages)

    def _connect(self) -> None:
        self._workspaces.changed.connect(self._on_workspaces_changed)
        self._workspaces.edited.connect(self._on_edited)
        model_changes().changed.connect(self._look_for_models)
        self._viewer.events.theme.connect(self._on_theme)
        self.form.changed.connect(self._show_state)
        self.panel.start.connect(self.start)
        self.panel.stop.connect(self.control.stop)
        self.panel.copy.connect(self.copy_command)
        self.panel.preview_toggled.connect(self.preview.set_wanted)
        self.control.started.connect(self._on_started)
        self.control.progressed.connect(self._on_progressed)
        self.control.snapshot.connect(self._on_snapshot)
        self.control.ended.connect(self._on_ended)
        self.control.finished.connect(self._on_finished)
        self.result.adopt.connect(self.adopt)
        self.result.discard.connect(self.discard)
        self.result.go_on.connect(self.go_on)
        self.result.compare.connect(self._compare_field)
        self.result.segment_again.connect(self._segment_again)
        self.result.back.connect(self._back)

    def _look_around(self) -> None:
        """Load what takes a moment."""
        self.closing.watch(self._viewer.window.main_menu.window())
        self._look_for_models()
        plot = partial(importlib.import_module, "napari_seamless.viewer.finetune.curves_plot")
        self._engine.fetch(plot, self._add_curves, report)

    def _look_for_models(self) -> None:
        folders = tuple(each.workspace.folder for each in self._workspaces.corrections)
        self._known_folders = set(folders)
        self._worker.fetch(partial(starting_models, folders), self._set_models, report)

    def _set_models(self, found: StartingModels) -> None:
        self._has_models = True
        self.form.set_models(found)

    def _add_curves(self, module: Any) -> None:
        self.panel.set_curves(module.CurvesPlot(self._viewer.theme))
        if self.control.is_running:
            self.panel.curves.setVisible(True)
            self.panel.show_curves(self.control.progress, 0, 0)

    def event(self, event: QEvent) -> bool:
        """When the dock is closed: napari then takes the widget out of it, but may keep it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.closing.answer(None, can_cancel=False)
            self.control.leave()
            self.preview.end()
            self.view.remove()
        return bool(super().event(event))

    # Training

    def start(self) -> None:
        """Start a training with what is chosen."""
        reason = self._reason_not_to_start()
        if reason:
            show_error(reason)
            return
        self.control.start(self.form.request, [each.workspace for each in self.form.corrections])

    def copy_command(self) -> None:
        """Copy the command of the training that runs, or of the one that would be started now."""
        run = self.control.run
        if self.control.is_running and run is not None:
            arguments = list(run.record.command)
        else:
            request = self.form.request
            arguments = request.arguments(model_in(new_folder(request, datetime.now())))
        QApplication.clipboard().setText(shell_command(arguments))
        show_info("Copied the command.")

    def _reason_not_to_start(self) -> str:
        if self.control.is_running:
            return _RUNNING
        return self.form.problem or ("" if self._has_models else _LOOKING)

    def _ends_by_itself(self) -> bool:
        run = self.control.run
        return (run.record.seconds if run is not None else self.form.request.seconds) is not None

    def _show_state(self) -> None:
        self.form.show_state(_RUNNING if self.control.is_running else "")
        self.panel.set_ready(self._reason_not_to_start(), can_copy=not self.form.problem)

    def _on_workspaces_changed(self) -> None:
        active = self._workspaces.of_layer(self._viewer.layers.selection.active)
        self.form.set_corrections(self._workspaces.corrections, active)
        folders = {each.workspace.folder for each in self._workspaces.corrections}
        if self._has_models and not folders <= self._known_folders:
            self._look_for_models()
        for correction in self._workspaces.corrections:
            if not self._is_deciding and not correction.workspace.read_only:
                self.control.look_for(correction.workspace.runs_folder)
        self._show_state()

    def _on_edited(self, correction: Correction) -> None:
        self.form.show_data()

    def _on_theme(self, event: Any) -> None:
        if self.panel.curves is not None:
            self.panel.curves.set_theme(event.value)

    def _on_started(self) -> None:
        run = self.control.run
        self._shown_points, self._shown_returns = (0, 0), 0
        self.panel.show_started(run.record.seconds if run is not None else self.form.request.seconds)
        self.pages.show_page(0)
        self._show_state()

    def _on_progressed(self) -> None:
        progress = self.control.progress
        if progress.returns != self._shown_returns:
            self._shown_points, self._shown_returns = (0, 0), progress.returns
            self.panel.clear_curves()
        self.panel.show_curves(progress, *self._shown_points)
        self._shown_points = (len(progress.losses), len(progress.scores))
        if self.control.is_running:
            self.panel.show_progress(progress, is_stopping=self.control.is_stopping)

    def _on_snapshot(self, model: Path) -> None:
        correction = self._correction_of(self.control.run)
        if correction is not None:
            self.preview.update(model, correction, self.control.run.record.channel)

    def _on_ended(self, outcome: str) -> None:
        self.preview.end()
        self.panel.show_idle(outcome)
        self._show_state()

    # The decision

    @property
    def _is_deciding(self) -> bool:
        return self._run is not None

    def _on_finished(self, run: Run, comparison: Comparison) -> None:
        self._run, self._comparison, self._after = run, comparison, run.kept
        self.result.show_result(comparison, "", can_go_on=run.can_go_on, has_model=run.kept is not None)
        self.pages.show_page(1)
        self._worker.fetch(partial(suggested_name, run), self.result.set_name, report)
        self._compare_field()

    def _compare_field(self) -> None:
        correction = self._correction_of(self._run)
        if correction is not None and self._after is not None:
            before = Path(self._run.record.model) if self._run.record.model else None
            self.view.compare(before, self._after, correction, self._run.record.channel)

    def adopt(self, name: str) -> None:
        """Take the new model over."""
        self.result.set_busy("Saving the model…")
        save = partial(adopt_result, self._run, self._comparison, name)
        self._worker.fetch(save, partial(self._on_adopted, name), self._on_not_decided)

    def go_on(self) -> None:
        """Go on with the training that was interrupted."""
        run = self._run
        self.view.remove()
        self._run = self._after = None
        opened = [each.workspace for each in self._workspaces.corrections]
        self.control.go_on(run, [each for each in opened if str(each.folder) in run.record.workspaces])

    def discard(self) -> None:
        """Forget the new model."""
        self.result.set_busy("Deleting the model…")
        self._worker.fetch(
            partial(decide, self._run, "discarded"), lambda _: self._on_discarded(), self._on_not_decided
        )

    def _on_adopted(self, name: str, path: Path) -> None:
        self._after = path
        self.result.show_adopted(name)
        model_changes().changed.emit()
        show_info(f"The new model is '{name}' now.")

    def _on_discarded(self) -> None:
        self.panel.show_idle("Discarded: everything is as it was.")
        self._back()

    def _on_not_decided(self, error: BaseException) -> None:
        self.result.set_busy("")
        report(error)

    def _back(self) -> None:
        self.view.remove()
        self._run = self._after = None
        self.pages.show_page(0)
        self.control.look_again()
        self._on_workspaces_changed()

    def _segment_again(self) -> None:
        correction = self._correction_of(self._run)
        if correction is not None and self._after is not None:
            self.view.remove()
            segment_again(self._viewer, correction, self._after, self._run.record.channel)

    def _correction_of(self, run: Run | None) -> Correction | None:
        """Return the correction that a run belongs to, if it is open: of several the one that is chosen or active."""
        if run is None:
            return None
        mine = [each for each in self._workspaces.corrections if str(each.workspace.folder) in run.record.workspaces]
        active = self._workspaces.of_layer(self._viewer.layers.selection.active)
        return active if active in mine else next(iter(mine), None)
