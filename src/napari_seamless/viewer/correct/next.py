"""The row "Where next?" of the Correct widget: map where the model is unsure, and go where correcting helps most."""

from __future__ import annotations

import weakref
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_seamless.errors import Cancelled, WorkspaceError
from napari_seamless.viewer.controls import (
    combo,
    describe,
    set_available,
    set_choices,
    side_by_side,
    single_shot,
    text_label,
)
from napari_seamless.viewer.correct.actions import NOTHING_OPEN
from napari_seamless.viewer.correct.place_finder import PlaceFinder
from napari_seamless.viewer.correct.uncertainty_job import Kind, UncertaintyJob
from napari_seamless.viewer.correct.uncertainty_layers import map_layer, remove_layers, show_map
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.worker import Worker
from napari_seamless.workspace.uncertainty_file import UncertaintyMap, read_map

if TYPE_CHECKING:
    import napari

    from napari_seamless.viewer.correct.correction import Correction

NEXT_KEY = "Alt-N"
_LOOK_MS = 100
_MAP_PURPOSE = (
    "Ask the model that made the labels how sure it is of every pixel, and show it: bright is unsure. Of a UNet++ how\n"
    "much its heads disagree, else the entropy of the classes. The map is kept in the workspace."
)
_NEXT_PURPOSE = (
    "Go to the place that is most unsure on average and not verified yet. Again: to the next one, elsewhere.\n"
    f"A field comes with a rectangle: when all in it is right, press 'This box is right'. ({NEXT_KEY})"
)
_NO_MODEL = "No model is known that made these labels: press Segment first, then the model can say where it was unsure."
_NO_MAP = "Map the uncertainty first: Next goes where it is highest."
_MAPPING = "The uncertainty is being mapped."
_SEARCHING = "Looking for the next place…"
_FLAT = "A flat image: its fields are all there is to go to."


class NextPlace(QWidget):
    """Acts on one correction; shows that there is none by disabling everything.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.job: UncertaintyJob | None = None
        self._viewer = viewer
        self._correction: Correction | None = None
        self._map: UncertaintyMap | None = None
        self._problem = self._told = ""
        self._worker = Worker(self)
        self.finder = PlaceFinder(viewer, self)
        self._make_controls()
        self._lay_out()
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._look_at_job)
        self.map_button.clicked.connect(self._on_map)
        self.cancel_button.clicked.connect(self.cancel)
        self.next_button.clicked.connect(self.go)
        self.kind_box.currentIndexChanged.connect(self._show_state)
        self.finder.changed.connect(self._show_state)
        # What tells of a change may be the removal of a layer, which is not the moment to remove others.
        self._clean_soon = single_shot(0, self._clean_up, self)
        workspaces_of(viewer).changed.connect(self._clean_soon.start)
        viewer.layers.events.removed.connect(self._show_state)
        viewer.bind_key(NEXT_KEY, _by_key(weakref.ref(self)), overwrite=True)
        self.show_correction(None)

    def _make_controls(self) -> None:
        self.kind_box = combo("next_kind", "Whether to go to a field of up to 256 x 256 pixels, or to a whole slice.")
        self.next_button = _button("Next", "next_place", _NEXT_PURPOSE)
        self.map_button = _button("Map uncertainty", "map_uncertainty", _MAP_PURPOSE)
        self.cancel_button = _button("Cancel", "cancel_map", "Stop after the current tile; an earlier map stays.")
        self.cancel_button.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.bar = QProgressBar()
        self.bar.setObjectName("map_progress")
        self.bar.setToolTip("Tiles that are finished.")
        self.status = text_label("next_status", "Where the last place is, or what became of the map.")

    def _lay_out(self) -> None:
        title = QLabel("Where next?")
        title.setToolTip("Where a correction teaches the model most: where it is unsure and nobody has verified.")
        asked, buttons = QHBoxLayout(), QHBoxLayout()
        asked.addWidget(title)
        asked.addWidget(self.kind_box, 1)
        for button in (self.map_button, self.next_button):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for row in (asked, buttons, side_by_side(self.bar, self.cancel_button)):
            row.setSpacing(4)
            layout.addLayout(row)
        layout.addWidget(self.status)

    # What is shown

    def show_correction(self, correction: Correction | None) -> None:
        """Show what can be done for a correction now."""
        if correction is not self._correction:
            self._correction = correction
            self._told = ""
            self._read_map()
            is_flat = correction is None or not {"T", "Z"} & set(correction.workspace.axes)
            set_choices(self.kind_box, [("field", "field")] if is_flat else [("field", "field"), ("slice", "slice")])
        self._show_state()

    def _read_map(self) -> None:
        """Look whether there is a map, and of which model."""
        self._map, self._problem = None, ""
        if self._correction is not None:
            workspace = self._correction.workspace
            try:
                self._map = read_map(workspace.folder, workspace.shape)
            except WorkspaceError as error:
                self._problem = str(error)
        self.finder.set_map(self._correction, self._map)

    @property
    def kind(self) -> Kind:
        """What Next goes to."""
        return self.kind_box.currentData()

    @property
    def is_stale(self) -> bool:
        """Whether the map is of another model than the one that made the labels."""
        name = "" if self._correction is None else self._correction.model_name
        return self._map is not None and bool(name) and self._map.model != name

    @property
    def _is_map_shown(self) -> bool:
        layer = None if self._correction is None else map_layer(self._viewer, self._correction)
        return layer is not None and layer.visible

    def _show_state(self, event: Any = None) -> None:
        correction, job = self._correction, self.job
        set_available(self.map_button, self._reason_against_map())
        set_available(self.next_button, self._reason_against_next())
        nothing = "" if correction is not None else NOTHING_OPEN
        set_available(self.kind_box, nothing or (_FLAT if self.kind_box.count() < 2 else ""))
        self.map_button.setText(self._map_verb())
        for widget in (self.bar, self.cancel_button):
            widget.setVisible(job is not None)
        if job is None:
            stale = self._stale_line() if self.is_stale else ""
            self._say(self._problem or f"{self._told or self.finder.outcome} {stale}".strip())

    def _map_verb(self) -> str:
        if self._map is None or self.is_stale:
            return "Map uncertainty" if self._map is None else "Map anew"
        return "Hide uncertainty" if self._is_map_shown else "Show uncertainty"

    def _stale_line(self) -> str:
        return f"The map is of '{self._map.model}'; the labels are of '{self._correction.model_name}' now: map anew."

    def _say(self, text: str) -> None:
        if self.status.text() != text:
            self.status.setText(text)
        self.status.setVisible(bool(text))

    def _reason_against_map(self) -> str:
        correction = self._correction
        if correction is None:
            return NOTHING_OPEN
        if self.job is not None:
            return _MAPPING
        if self._map is not None and not self.is_stale:
            return ""
        if correction.workspace.read_only:
            return f"Read-only: {correction.workspace.read_only_reason}."
        return "" if correction.model_name else _NO_MODEL

    def _reason_against_next(self) -> str:
        if self._correction is None:
            return NOTHING_OPEN
        if self.finder.is_searching:
            return _SEARCHING
        if self._map is not None:
            return ""
        return _MAPPING if self.job is not None else self._problem or self._reason_against_map() or _NO_MAP

    # The map

    def _on_map(self) -> None:
        """Map the uncertainty, or show or hide the map that there is."""
        reason = self._reason_against_map()
        if reason:
            show_warning(reason)
        elif self._map is None or self.is_stale:
            self._told = self._problem = ""
            self.job = UncertaintyJob(self._correction, self._worker)
            self._look.start()
            self._look_at_job()
        else:
            self._toggle_map()
        self._show_state()

    def _toggle_map(self) -> None:
        layer = map_layer(self._viewer, self._correction)
        if layer is None:
            self._show_map(self._correction, self._map)
        else:
            layer.visible = not layer.visible

    def _show_map(self, correction: Correction, found: UncertaintyMap) -> None:
        is_new = map_layer(self._viewer, correction) is None
        layer = show_map(self._viewer, correction, found)
        if is_new:
            layer.events.visible.connect(self._show_state)

    def cancel(self) -> None:
        """Stop mapping."""
        if self.job is not None:
            self.job.cancel()
            set_available(self.cancel_button, "It stops after the current tile.")
            self._look_at_job()

    def _look_at_job(self) -> None:
        job = self.job
        if job is None:
            return
        if job.future.done():
            self._end(job)
            return
        self.bar.setRange(0, job.progress.total)  # 0: a moving bar
        self.bar.setValue(job.progress.done)
        self._say(job.line)

    def _end(self, job: UncertaintyJob) -> None:
        self._look.stop()
        self.job = None
        set_available(self.cancel_button, "")
        error = CancelledError() if job.future.cancelled() else job.future.exception()
        is_open = job.correction in workspaces_of(self._viewer).corrections
        if job.correction is self._correction:
            self._read_map()
        if isinstance(error, Cancelled | CancelledError):
            self._told = "Cancelled."
        elif error is not None:
            self._told = f"No map: {error}"
            report(error)
        elif is_open:
            found = job.future.result()
            self._show_map(job.correction, found)
            measure = "disagreement of the heads" if found.measure == "disagreement" else "entropy of the classes"
            self._told = f"Bright: high {measure} of '{found.model}'."
        self._show_state()

    # The next place

    def go(self) -> None:
        """Look for the next place and go there."""
        reason = self._reason_against_next()
        if reason:
            show_warning(reason)
            return
        self._told = ""
        self.finder.go(self.kind)

    def _clean_up(self) -> None:
        """Take away what belongs to corrections that are closed, and the rectangle around what is verified."""
        corrections = workspaces_of(self._viewer).corrections
        remove_layers(self._viewer, {str(each.workspace.folder) for each in corrections})
        if self.job is not None and self.job.correction not in corrections:
            self.job.cancel()
        if self._correction in corrections:
            self.finder.drop_verified_mark()


def _button(text: str, name: str, purpose: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    describe(button, purpose)
    return button


def _by_key(widget: weakref.ref[NextPlace]) -> Any:
    def go_by_key(viewer: napari.Viewer) -> None:  # napari asks each bound function for its name at every key press
        found = widget()
        if found is None:
            show_info("Open the Correct panel first: Layers > Annotate > Correct…")
        else:
            found.go()

    return go_by_key


def next_place_command() -> None:
    """Go to the next place to correct: for napari's menu."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Correct")
        widget.panel.next_place.go()
