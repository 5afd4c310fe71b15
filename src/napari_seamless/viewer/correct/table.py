"""The table of verified regions: click one to go there, say what it is for, or take the mark back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QFont, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_seamless.viewer.controls import combo, describe, set_available, set_choices, side_by_side
from napari_seamless.viewer.correct.places import place_text, short_place

if TYPE_CHECKING:
    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.workspace.regions import VerifiedRegion

_KINDS = {"slice": "Slice", "box": "Box", "edit": "Strokes"}
_ROLES = {"train": "training", "validation": "validation"}
_ROLE_COLUMN = 2
_SELECT_FIRST = "Select a region in the table first."
_EXPLANATION = (
    "Verified regions. Click one to go there.\n"
    "Slice, Box: marked as right, background included. Strokes: the painted pixels count, what lies between does not.\n"
    "Training regions teach the model; validation regions judge it and are never learned from.\n"
    "In italics: the program chose what a region is for."
)


class RegionTable(QWidget):
    """Shows the regions of one correction.

    Signals
    -------
    chosen
        The region that was clicked.
    unmark
        The ids of the regions whose marks are to be taken back.
    """

    chosen = Signal(object)
    unmark = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = QTableWidget(0, 3)
        self.table.setObjectName("regions")
        self.table.setHorizontalHeaderLabels(["Verified", "Where", "For"])
        self.table.verticalHeader().setVisible(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setWordWrap(False)
        self.table.setMinimumHeight(110)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        describe(self.table, _EXPLANATION)
        self.role: QComboBox = combo(
            "role", "What the selected regions are for. Automatic keeps about one in four for validation."
        )
        set_choices(self.role, [("automatic", None), ("for training", "train"), ("for validation", "validation")])
        self.unmark_button = QPushButton("Un-mark")
        self.unmark_button.setObjectName("unmark")
        describe(
            self.unmark_button,
            "The selected regions are no longer verified. The labels stay; what was painted in a slice or box stays\n"
            "verified until its strokes are un-marked, too.",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addLayout(side_by_side(self.role, self.unmark_button))
        self._correction: Correction | None = None
        self._regions: tuple[VerifiedRegion, ...] = ()
        self._locked = ""
        self._italic = QFont(self.table.font())
        self._italic.setItalic(True)
        self.table.cellClicked.connect(self._on_clicked)
        self.table.itemSelectionChanged.connect(self._show_selection)
        self.role.activated.connect(self._on_role)
        self.unmark_button.clicked.connect(lambda: self.unmark.emit(self.selected_ids))
        self._show_selection()

    @property
    def selected_ids(self) -> list[int]:
        """Ids of the selected regions."""
        rows = sorted({index.row() for index in self.table.selectionModel().selectedRows()})
        return [self._regions[row].id for row in rows if row < len(self._regions)]

    def show_regions(self, correction: Correction | None, locked: str) -> None:
        """Show a correction's regions; `locked` says why they can't be changed."""
        regions = () if correction is None else correction.workspace.regions
        if correction is not self._correction or regions != self._regions:
            chosen = set(self.selected_ids) if correction is self._correction else set()
            self._correction, self._regions = correction, regions
            with QSignalBlocker(self.table):
                self._fill(correction, chosen)
        self._locked = locked
        self._show_selection()

    def _fill(self, correction: Correction | None, chosen: set[int]) -> None:
        self.table.clearSelection()
        self.table.setRowCount(len(self._regions))
        for row, region in enumerate(self._regions):
            role = _ROLES[region.role]
            texts = (_KINDS[region.kind], short_place(correction, region.box), role)
            chosen_by = "chosen by the program" if region.automatic else "chosen by you"
            whole = f"{texts[0]}: {place_text(correction, region.box)}; for {role}, {chosen_by}. Click to go there."
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(whole)
                if column == _ROLE_COLUMN and region.automatic:
                    item.setFont(self._italic)
                self.table.setItem(row, column, item)
            if region.id in chosen:
                self.table.selectionModel().select(
                    self.table.model().index(row, 0),
                    QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows,
                )

    def _show_selection(self) -> None:
        chosen = [region for region in self._regions if region.id in self.selected_ids]
        reason = self._locked or ("" if chosen else _SELECT_FIRST)
        set_available(self.role, reason)
        set_available(self.unmark_button, reason)
        if chosen:
            role = None if chosen[0].automatic else chosen[0].role
            with QSignalBlocker(self.role):
                self.role.setCurrentIndex(self.role.findData(role) if role else 0)

    def _on_clicked(self, row: int, column: int) -> None:
        if row < len(self._regions):
            self.chosen.emit(self._regions[row])

    def _on_role(self, index: int) -> None:
        """Set the role of the selected regions: a line in the journal, nothing slow."""
        for region_id in self.selected_ids:
            self._correction.workspace.set_role(region_id, self.role.itemData(index))
        self.show_regions(self._correction, self._locked)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Delete un-marks the selected regions."""
        if event.key() == Qt.Key.Key_Delete and self.unmark_button.isEnabled():
            self.unmark.emit(self.selected_ids)
        else:
            super().keyPressEvent(event)
