"""The dock widget Segment: choose an image and a model, see what it takes, run, watch, cancel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_seamless.errors import SeamlessError
from napari_seamless.viewer.controls import combo, set_available, set_choices, side_by_side, single_shot, stacked
from napari_seamless.viewer.image_picker import ImagePicker
from napari_seamless.viewer.model_changes import model_changes
from napari_seamless.viewer.model_picker import ModelPicker
from napari_seamless.viewer.napari_versions import camera_of
from napari_seamless.viewer.segment.job import SegmentRequest, devices, models
from napari_seamless.viewer.segment.output_control import OutputControl
from napari_seamless.viewer.segment.planner import Planner
from napari_seamless.viewer.segment.run_control import RunControl
from napari_seamless.viewer.segment.run_panel import RunPanel
from napari_seamless.viewer.segment.scope_control import Scope, ScopeControl
from napari_seamless.viewer.view_region import NotInView, RegionDict, current_slice, visible_field
from napari_seamless.viewer.wording import plan_line
from napari_seamless.viewer.worker import Worker

if TYPE_CHECKING:
    import napari

    from napari_seamless.inference.plan import SegmentationPlan

_RUNNING = "A run is in progress: wait for it, or cancel it."
_VIEW_SETTLES_MS = 200


class SegmentWidget(QWidget):
    """Dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._worker = Worker(self)
        self._engine = Worker(self)  # what keeps the processor busy, one thing at a time
        self._plan_problem = ""
        self.images = ImagePicker(napari_viewer, self)
        self.models = ModelPicker(self)
        self.device = combo("device", "What computes: the processor (cpu) or a graphics card. Auto takes the fastest.")
        self.scope = ScopeControl()
        self.output = OutputControl()
        self.panel = RunPanel()
        self.planner = Planner(self._worker, self._engine, self)
        self.run = RunControl(napari_viewer, self._engine, self.panel, self)
        self._view_settled = single_shot(_VIEW_SETTLES_MS, self._on_view_settled, self)
        set_choices(self.device, [("auto", "auto")])
        self._lay_out()
        self._connect_controls()
        self._connect_view()
        self._on_changed()
        single_shot(0, self._look_around, self).start()  # once the widget is on the screen

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        form.addRow("Image", self.images.image_box)
        form.addRow("Axes", self.images.axes_box)
        form.addRow("Channel", self.images.channel_box)
        model_row = side_by_side(self.models.model_box, self.models.more)
        form.addRow("Model", stacked(model_row, self.models.description))
        form.addRow("Quality", self.models.level)
        form.addRow("Device", self.device)
        form.addRow("Segment", self.scope)
        form.addRow("Save to", self.output)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.panel)
        layout.addStretch(1)

    def _connect_controls(self) -> None:
        for control in (self.images, self.models, self.scope, self.output):
            control.changed.connect(self._on_changed)
        self.device.currentIndexChanged.connect(self._on_changed)
        model_changes().changed.connect(self._look_for_models)
        self.images.layer_removed.connect(self.run.layer_removed)
        self.planner.due.connect(self._plan)
        self.planner.planned.connect(self._on_planned)
        self.planner.failed.connect(self._on_plan_failed)
        self.panel.start.connect(self.start)
        self.run.started.connect(self._show_state)
        self.run.ended.connect(self._on_changed)

    def _connect_view(self) -> None:
        dims, camera = self._viewer.dims.events, camera_of(self._viewer).events
        for event in (dims.point, dims.order, dims.ndisplay, camera.center, camera.zoom):
            event.connect(self._on_view_changed)

    def _look_around(self) -> None:
        """Look for models and devices, which takes a moment."""
        self._look_for_models()
        self._worker.fetch(devices, self._list_devices, self._on_error)

    def _look_for_models(self) -> None:
        self._worker.fetch(models, self.models.set_models, self._on_error)

    def event(self, event: QEvent) -> bool:
        """Stop when the dock is closed: napari then takes the widget out of it, but may keep it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.run.cancel()
            self.planner.forget()
        return bool(super().event(event))

    def start(self) -> None:
        """Start a run with what is chosen."""
        reason = self._reason_not_to_start()
        if reason:
            show_error(reason)
            return
        request = self._request()
        self.planner.forget()
        self.run.start(request, self.images.choice, self.models.model.name)

    def _request(self) -> SegmentRequest:
        return SegmentRequest(
            source=self.images.source,
            model=self.models.model.path,
            region=self._region(self.scope.scope),
            options={
                "channel": self.images.channel,
                "level": self.models.level.level,
                "device": self.device.currentData(),
            },
            output=self.output.path,
            overwrite=self.output.may_overwrite,
        )

    def _region(self, scope: Scope) -> RegionDict:
        layer, axes = self.images.choice.layers[0], self.images.axes
        if scope == "whole":
            return {}
        return (current_slice if scope == "slice" else visible_field)(self._viewer, layer, axes)

    def _reason_against(self, scope: Scope) -> str:
        """Return why a scope can't be chosen now, or nothing."""
        if self.images.problem:
            return self.images.problem
        try:
            self._region(scope)
        except NotInView as reason:
            return str(reason)
        return ""

    def _reason_not_to_start(self) -> str:
        if self.run.is_running:
            return _RUNNING
        return (
            self.images.problem or self.models.problem or self._reason_against(self.scope.scope) or self._plan_problem
        )

    def _show_state(self) -> None:
        """Enable every control that can be used now; let every other one say why not."""
        locked = _RUNNING if self.run.is_running else ""
        self.models.show_state(locked)
        self.images.show_state(self.models.model, locked)
        self.output.show_state(locked)
        set_available(self.device, locked)
        self.scope.set_reasons({scope: locked or self._reason_against(scope) for scope in self.scope.buttons})
        self.panel.set_ready(self._reason_not_to_start())

    def _on_changed(self) -> None:
        self._plan_problem = ""
        self._show_state()
        if self.run.is_running:
            return
        reason = self._reason_not_to_start()
        self.panel.set_estimate(reason or "Working out what it takes…")
        if reason:
            self.planner.forget()
        else:
            self.planner.schedule()

    def _plan(self) -> None:
        if not self._reason_not_to_start():
            self.planner.plan(self._request())

    def _on_planned(self, plan: SegmentationPlan) -> None:
        line = plan_line(plan.as_dict())
        self.panel.set_estimate(line if plan.seconds is not None else f"{line} Measuring how long it takes…")

    def _on_plan_failed(self, error: BaseException) -> None:
        self._plan_problem = str(error)
        self.panel.set_estimate(self._plan_problem)
        if not isinstance(error, SeamlessError):
            self._on_error(error)
        self._show_state()

    def _on_error(self, error: BaseException) -> None:
        notification_manager.receive_error(type(error), error, error.__traceback__)

    def _list_devices(self, names: Iterable[str]) -> None:
        set_choices(self.device, [("auto", "auto"), *((name, name) for name in names)])

    def _on_view_changed(self, event: object = None) -> None:
        self._view_settled.start()

    def _on_view_settled(self) -> None:
        if self.scope.scope == "whole" or self.run.is_running:
            self._show_state()
        else:
            self._on_changed()
