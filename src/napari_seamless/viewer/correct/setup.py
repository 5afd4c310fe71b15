"""The upper part of the Correct widget: which labels to begin with, and where the workspace lies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_seamless.viewer.controls import (
    combo,
    describe,
    more_button,
    set_available,
    set_choices,
    side_by_side,
    text_label,
)
from napari_seamless.viewer.correct.labels import fits, path_of
from napari_seamless.viewer.correct.opening import beside
from napari_seamless.viewer.layers import METADATA_KEY
from napari_seamless.workspace.layout import ENDING, MANIFEST

if TYPE_CHECKING:
    import napari.layers

    from napari_seamless.viewer.image_choice import ImageChoice
    from napari_seamless.viewer.layers import LayerSource

_NOTHING, _RESTORE = "nothing", "restore"


class CorrectSetup(QWidget):
    """Chooses what a correction begins with.

    Signals
    -------
    changed
        Another place.
    start
        The button was pressed.
    """

    changed = Signal()
    start = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.labels_box = combo(
            "first_labels",
            "The labels to begin with: a result of Segment, labels from elsewhere, earlier corrections, or nothing.\n"
            "They count as predictions until you paint or mark something as right.",
        )
        self.folder_line = QLineEdit()
        self.folder_line.setObjectName("folder")
        self.folder_line.setClearButtonEnabled(True)
        describe(
            self.folder_line,
            "The folder that keeps your corrections, '<image>.seamless'. Empty: beside the image's file; for images\n"
            "without a file, in your user folder.",
        )
        self.browse = more_button("browse_folder", "Choose where the folder with your corrections is made.")
        self.offer = text_label("offer", "What is known about earlier corrections of this image.")
        self.start_button = QPushButton("Start correcting")
        self.start_button.setObjectName("start_correcting")
        describe(self.start_button, "Make the labels editable; everything you paint is saved as you work.")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labels", self.labels_box)
        form.addRow("Folder", side_by_side(self.folder_line, self.browse))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.offer)
        layout.addWidget(self.start_button)
        self._labels: dict[str, napari.layers.Labels] = {}
        self._choice: ImageChoice | None = None
        self.folder_line.textChanged.connect(self.changed)
        self.browse.clicked.connect(self._browse)
        self.start_button.clicked.connect(self.start)

    @property
    def labels(self) -> napari.layers.Labels | None:
        """The layer to begin with; None for what the workspace holds, or nothing."""
        return self._labels.get(self.labels_box.currentData())

    @property
    def folder(self) -> Path | None:
        """The workspace's folder if the user chose one."""
        text = self.folder_line.text().strip()
        if not text:
            return None
        place = Path(text).expanduser()
        if place.name.endswith(ENDING) or (place / MANIFEST).is_file() or self._choice is None:
            return place
        file = path_of(self._choice.layers[0])
        return place / f"{self._choice.name if file is None else file.name}{ENDING}"

    @property
    def existing(self) -> Path | None:
        """The workspace that would be opened, if it is there already."""
        place = self.folder
        if place is None and self._choice is not None:
            file = path_of(self._choice.layers[0])
            place = None if file is None else beside(file)
        return place if place is not None and (place / MANIFEST).is_file() else None

    def show_choices(
        self, choice: ImageChoice | None, source: LayerSource | None, layers: Iterable[napari.layers.Layer]
    ) -> None:
        """Offer what fits an image."""
        from napari.layers import Labels

        is_other = choice is None or self._choice is None or choice.key != self._choice.key
        self._choice = choice
        found = [layer for layer in layers if isinstance(layer, Labels) and source is not None and _is_free(layer)]
        found = [layer for layer in reversed(found) if fits(layer, source)]
        self._labels = {str(layer.unique_id): layer for layer in found}
        earlier = self.existing is not None
        first = ("earlier corrections", _RESTORE) if earlier else ("start from nothing", _NOTHING)
        entries = [(layer.name, str(layer.unique_id)) for layer in found]
        listed = [first, *entries] if earlier else [*entries, first]
        set_choices(self.labels_box, listed, chosen=listed[0][1] if is_other else None)
        self.offer.setText(_offer(self.existing))
        self.offer.setVisible(earlier)
        self.start_button.setText("Restore corrections" if earlier and self.labels is None else "Start correcting")

    def show_state(self, reason: str) -> None:
        """Enable, or disable and say why."""
        for control in (self.labels_box, self.folder_line, self.browse, self.start_button):
            set_available(control, reason)
        file = None if self._choice is None else path_of(self._choice.layers[0])
        self.folder_line.setPlaceholderText("your user folder" if file is None else f"beside {file.name}")

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Keep the corrections in")
        if chosen:
            self.folder_line.setText(chosen)


def _is_free(layer: napari.layers.Labels) -> bool:
    return layer.metadata.get(METADATA_KEY, {}).get("kind") not in ("corrections", "verified")


def _offer(folder: Path | None) -> str:
    return "" if folder is None else f"This image has been corrected before: {folder.name} holds what you did."
