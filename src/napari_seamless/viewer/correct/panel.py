"""The lower part of the Correct widget: say what is right, see what is verified, undo large changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_seamless.viewer.controls import describe, set_available, text_label
from napari_seamless.viewer.correct import actions
from napari_seamless.viewer.correct.next import NextPlace
from napari_seamless.viewer.correct.places import show_place
from napari_seamless.viewer.correct.table import RegionTable
from napari_seamless.viewer.correct.verified_overlay import overlay_of, show_overlay
from napari_seamless.workspace.bulk_undo import UndoStep

if TYPE_CHECKING:
    import napari

    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.workspace.regions import VerifiedRegion

_LONGEST_NAME = 28
_BOX_PURPOSE = (
    "Mark the selected rectangle of a Shapes layer as right, background included; without one in view, the visible\n"
    f"field. ({actions.BOX_KEY})"
)


class CorrectPanel(QWidget):
    """Acts on one correction; shows that there is none by disabling everything.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._correction: Correction | None = None
        self.state = text_label("state", "Whether everything you painted is on disk.")
        self.note = text_label("note", "What was done last.")
        self.note.setVisible(False)
        self.slice_button = self._button(
            "This slice is right",
            "mark_slice",
            f"Mark the whole slice in view as right, background included. ({actions.SLICE_KEY})",
            actions.mark_slice,
        )
        self.box_button = self._button("This box is right", "mark_box", _BOX_PURPOSE, actions.mark_box)
        self.overlay = QCheckBox("Show what is verified")
        self.overlay.setObjectName("show_verified")
        describe(self.overlay, "Lay a translucent colour over verified pixels: yellow is painted, green is marked.")
        self.new_object = self._button(
            "New object", "new_object", "Paint with an id that no object has or had. (M)", _new_object
        )
        self.next_place = NextPlace(viewer, self)
        self.regions = RegionTable()
        self.undo = self._button("Undo", "undo_bulk", "", actions.undo)
        self.redo = self._button("Redo", "redo_bulk", "", actions.redo)
        self.clear = self._button(
            "Clear predictions",
            "clear_predictions",
            "Remove every label that you neither painted nor marked as right. It can be undone.",
            actions.clear_predictions,
        )
        self._lay_out()
        self.overlay.toggled.connect(self._on_overlay)
        self.regions.chosen.connect(self._on_chosen)
        self.regions.unmark.connect(self._on_unmark)

    def _button(
        self,
        text: str,
        name: str,
        purpose: str,
        act: Callable[[napari.Viewer, Correction | None], None],
    ) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName(name)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        describe(button, purpose)
        button.clicked.connect(lambda: act(self._viewer, self._correction))
        return button

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.state)
        layout.addLayout(_halves((self.slice_button, self.box_button)))
        layout.addWidget(self.note)
        layout.addWidget(self.overlay)
        layout.addWidget(self.next_place)
        layout.addWidget(self.regions, 1)
        layout.addLayout(_halves((self.new_object, self.clear)))
        layout.addWidget(self.undo)
        layout.addWidget(self.redo)

    def show_correction(self, correction: Correction | None) -> None:
        """Show a correction as it is now; enable what can be done, let the rest say why it can't."""
        self._correction = correction
        locked = actions.reason_against(correction)
        set_available(self.slice_button, actions.reason_against_slice(self._viewer, correction))
        set_available(self.box_button, actions.reason_against_box(self._viewer, correction))
        set_available(self.new_object, locked)
        set_available(self.clear, locked)
        set_available(self.overlay, "" if correction is not None else locked)
        self._show_steps(correction)
        self.next_place.show_correction(correction)
        self.regions.show_regions(correction, locked)
        overlay = None if correction is None else overlay_of(self._viewer, correction)
        with QSignalBlocker(self.overlay):
            self.overlay.setChecked(overlay is not None and overlay.visible)
        self.show_state()

    def show_state(self) -> None:
        """Bring the lines about saving up to date."""
        correction = self._correction
        _set_text(self.state, "" if correction is None else correction.state)
        _set_text(self.note, "" if correction is None else correction.note)

    def _show_steps(self, correction: Correction | None) -> None:
        workspace = None if correction is None else correction.workspace
        steps = (None, None) if workspace is None else (workspace.undo_step, workspace.redo_step)
        pairs = ((self.undo, "Undo", actions.UNDO_KEY), (self.redo, "Redo", actions.REDO_KEY))
        for (button, verb, key), step in zip(pairs, steps, strict=True):
            button.setText(verb if step is None else f"{verb} {_short(step)}")
            describe(button, "" if step is None else f"{verb}: {step.name}. What you changed since stays. ({key})")
            set_available(button, actions.reason_against_move(correction, undo=button is self.undo))

    def _on_overlay(self, is_shown: bool) -> None:
        if self._correction is not None:
            show_overlay(self._viewer, self._correction, is_shown)

    def _on_chosen(self, region: VerifiedRegion) -> None:
        show_place(self._viewer, self._correction, region.box)

    def _on_unmark(self, region_ids: list[int]) -> None:
        actions.unmark(self._viewer, self._correction, region_ids)


def _new_object(viewer: napari.Viewer, correction: Correction | None) -> None:
    if correction is not None:
        correction.new_object()


def _short(step: UndoStep) -> str:
    return step.name if len(step.name) <= _LONGEST_NAME else f"{step.name[: _LONGEST_NAME - 1]}…"


def _halves(*rows: tuple[QPushButton, QPushButton]) -> QGridLayout:
    """Lay buttons out in two columns of the same width."""
    grid = QGridLayout()
    grid.setSpacing(4)
    for row, buttons in enumerate(rows):
        for column, button in enumerate(buttons):
            grid.addWidget(button, row, column)
            grid.setColumnStretch(column, 1)
    return grid


def _set_text(label: QLabel, text: str) -> None:
    if label.text() != text:
        label.setText(text)
        label.setVisible(bool(text))
