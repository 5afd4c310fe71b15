"""The dock widget Correct: begin to correct the labels of an image, say what is right, see what is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_seamless.errors import SeamlessError
from napari_seamless.viewer.controls import single_shot
from napari_seamless.viewer.correct.panel import CorrectPanel
from napari_seamless.viewer.correct.setup import CorrectSetup
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.image_picker import ImagePicker
from napari_seamless.viewer.napari_versions import camera_of

if TYPE_CHECKING:
    import napari

    from napari_seamless.viewer.correct.correction import Correction

_OPENING = "The workspace is being opened."
_VIEW_SETTLES_MS = 150
_STATE_MS = 500


class CorrectWidget(QWidget):
    """Dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.workspaces = workspaces_of(napari_viewer)
        self.images = ImagePicker(napari_viewer, self)
        self.setup = CorrectSetup()
        self.panel = CorrectPanel(napari_viewer)
        self._lay_out()
        self._settled = single_shot(_VIEW_SETTLES_MS, self.show_state, self)
        self._soon = single_shot(0, self.show_state, self)
        self._tick = QTimer(self)
        self._tick.setInterval(_STATE_MS)
        self._tick.timeout.connect(self.panel.show_state)
        self._connect()
        self._follow_selection()
        self.show_state()
        self._tick.start()

    @property
    def correction(self) -> Correction | None:
        """The correction of the active layer, or of the chosen image."""
        found = self.workspaces.of_layer(self._viewer.layers.selection.active)
        if found is None and self.images.choice is not None:
            found = self.workspaces.of_layer(self.images.choice.layers[0])
        return found

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        form.addRow("Image", self.images.image_box)
        form.addRow("Axes", self.images.axes_box)
        self.images.channel_box.setParent(self)  # all channels of an image have the same labels
        self.images.channel_box.hide()
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.setup)
        layout.addWidget(self.panel, 1)

    def _connect(self) -> None:
        self.images.changed.connect(self._soon.start)
        self.setup.changed.connect(self._soon.start)
        self.setup.labels_box.currentIndexChanged.connect(self._soon.start)
        self.setup.start.connect(self.start)
        self.workspaces.changed.connect(self._soon.start)
        self.workspaces.edited.connect(self._soon.start)
        layers, dims = self._viewer.layers, self._viewer.dims.events
        layers.selection.events.active.connect(self._follow_selection)
        for event in (layers.events.inserted, layers.events.removed, layers.selection.events.changed):
            event.connect(self._on_view_changed)
        camera = camera_of(self._viewer).events
        for event in (dims.point, dims.order, dims.ndisplay, camera.center, camera.zoom):
            event.connect(self._on_view_changed)

    def start(self) -> None:
        """Begin with what is chosen."""
        reason = self._reason_not_to_start()
        if reason:
            show_error(reason)
            return
        try:
            self.workspaces.start(self.images.choice, self.images.axes, self.setup.labels, self.setup.folder)
        except SeamlessError as error:
            show_error(str(error))

    def show_state(self) -> None:
        """Show what can be done now."""
        correction = self.correction
        self.images.show_state(None, "")
        self.setup.setVisible(correction is None)
        self.panel.setVisible(correction is not None)
        if correction is None:
            self.setup.show_choices(self.images.choice, self.images.source, self._viewer.layers)
            self.setup.show_state(self._reason_not_to_start())
        self.panel.show_correction(correction)

    def _reason_not_to_start(self) -> str:
        if self.images.problem:
            return self.images.problem
        return _OPENING if self.workspaces.is_opening(self.images.choice) else ""

    def _follow_selection(self, event: Any = None) -> None:
        """Choose the image whose labels, or which itself, is the active layer."""
        active = self._viewer.layers.selection.active
        found = self.workspaces.of_layer(active)
        layer = active if found is None else found.image_layer
        if layer is None:
            return
        index = self.images.image_box.findData((str(layer.unique_id),))
        if index >= 0:
            self.images.image_box.setCurrentIndex(index)

    def _on_view_changed(self, event: Any = None) -> None:
        self._settled.start()
