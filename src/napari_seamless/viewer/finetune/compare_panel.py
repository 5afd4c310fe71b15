"""What a training came to: the verdict, the scores, before and after in the viewer, and the decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QSlider,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_seamless.viewer.controls import describe, set_available, text_label
from napari_seamless.viewer.finetune.compare_view import TOGGLE_KEY, CompareView, Mode
from napari_seamless.viewer.finetune.progress import Comparison, score_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODES: tuple[tuple[Mode, str, str], ...] = (
    ("before", "Before", "What the model found that this one started from."),
    ("after", "After", "What the new model finds."),
    ("wipe", "Wipe", "Before on the left of the line, after on the right."),
)
_ADOPT = "Keep the new model, under this name, in the workspace and in your library of models."
_ADOPTED = "It is adopted already."
_NO_WEIGHTS = "There are no weights yet that could be looked at or adopted: go on with the training, or discard it."
_STEPS_OF_WIPE = 200


class ComparePanel(QWidget):
    """The page of the Fine-tune widget after a training.

    Signals
    -------
    adopt
        The name for the new model.
    go_on, discard, compare, segment_again, back
        The buttons.

    Parameters
    ----------
    view : CompareView
    """

    adopt = Signal(str)
    go_on = Signal()
    discard = Signal()
    compare = Signal()
    segment_again = Signal()
    back = Signal()

    def __init__(self, view: CompareView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = view
        self._comparison = Comparison()
        self._is_adopted = False
        self._can_go_on = False
        self._has_model = True
        self._busy = ""
        self.verdict = text_label("verdict", "How the new model does beside the one it started from.")
        self.verdict.setStyleSheet("font-weight: bold")
        self.table = _table()
        self.modes: dict[Mode, QRadioButton] = {}
        self.wipe = QSlider(Qt.Orientation.Horizontal)
        self.field_button = _button("This field", "compare_field", "Run both models over what the canvas shows now.")
        self.state = text_label("compare_state", "What is being computed.")
        self.name = QLineEdit()
        self.name.setObjectName("new_name")
        describe(self.name, "What the new model will be called.")
        self.adopt_button = _button("Adopt", "adopt", _ADOPT)
        self.discard_button = _button("Discard", "discard", "Delete the new model; everything stays as it was.")
        self.go_on_button = _button(
            "Go on training",
            "go_on",
            "The training was interrupted: go on from where it last saved everything, for the rest of its time.",
        )
        self.anyway = QCheckBox("Adopt anyway")
        self.anyway.setObjectName("adopt_anyway")
        describe(self.anyway, "Allow to adopt a model that is not known to be better.")
        self.again_button = _button(
            "Segment again", "segment_again", "Segment the whole image with the new model; what you verified stays."
        )
        self.back_button = _button("Train on", "back", "Go back, to correct and train again.")
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        modes = QHBoxLayout()
        group = QButtonGroup(self)
        for mode, text, purpose in _MODES:
            button = QRadioButton(text)
            button.setObjectName(f"show_{mode}")
            describe(button, f"{purpose} {TOGGLE_KEY.replace('-', '+')} switches between before and after.")
            group.addButton(button)
            modes.addWidget(button)
            self.modes[mode] = button
            button.clicked.connect(lambda _checked=False, chosen=mode: self._view.set_mode(chosen))
        modes.addStretch(1)
        modes.addWidget(self.field_button)
        self.wipe.setObjectName("wipe")
        self.wipe.setRange(0, _STEPS_OF_WIPE)
        describe(self.wipe, "Where the line between before and after is.")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Name", self.name)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.verdict, self.table, modes, self.wipe, self.state, form):
            column.addWidget(part) if isinstance(part, QWidget) else column.addLayout(part)
        column.addLayout(_row(self.adopt_button, self.discard_button))
        column.addWidget(self.anyway)
        column.addWidget(self.go_on_button)
        column.addLayout(_row(self.again_button, self.back_button))

    def _connect(self) -> None:
        self.wipe.valueChanged.connect(self._on_wipe)
        self.field_button.clicked.connect(self.compare)
        self.adopt_button.clicked.connect(lambda: self.adopt.emit(self.name.text().strip()))
        self.discard_button.clicked.connect(self.discard)
        self.go_on_button.clicked.connect(self.go_on)
        self.again_button.clicked.connect(self.segment_again)
        self.back_button.clicked.connect(self.back)
        self.anyway.toggled.connect(self.show_state)
        self.name.textChanged.connect(self.show_state)
        self._view.changed.connect(self.show_state)

    def show_result(
        self, comparison: Comparison, name: str, *, can_go_on: bool = False, has_model: bool = True
    ) -> None:
        """Show what a training came to; `name` is suggested for the model, if there is one."""
        self._comparison, self._is_adopted, self._busy = comparison, False, ""
        self._can_go_on, self._has_model = can_go_on, has_model
        self.verdict.setText(_sentence(comparison.verdict))
        _fill(self.table, comparison)
        self.name.setText(name)
        self.anyway.setChecked(False)
        self.show_state()

    def set_name(self, name: str) -> None:
        """Suggest a name for the model."""
        self.name.setText(name)

    def show_adopted(self, name: str) -> None:
        """Say that the model was adopted."""
        self._is_adopted, self._busy = True, ""
        self.verdict.setText(_sentence(f"adopted as '{name}': {self._comparison.verdict}"))
        self.show_state()

    def set_busy(self, doing: str) -> None:
        """Lock the decision while something is under way; empty to unlock."""
        self._busy = doing
        self.show_state()

    @property
    def reason_against(self) -> str:
        """Why the model should not be adopted, or nothing."""
        if self._comparison.better and self._comparison.judged:
            return ""
        why = "The new model is not better" if self._comparison.judged else "Nobody can tell whether it is better"
        return f"{why}: {self._comparison.verdict}. Tick 'Adopt anyway' to adopt it nevertheless."

    def show_state(self) -> None:
        """Enable what can be done now; let everything else say why not."""
        reason = self.reason_against
        locked = self._busy or (_ADOPTED if self._is_adopted else "")
        missing = "" if self._has_model else _NO_WEIGHTS
        self.anyway.setVisible(bool(reason) and not self._is_adopted and not missing)
        set_available(self.anyway, locked)
        unnamed = "" if self.name.text().strip() else "Give the model a name."
        against = missing or (reason if not self.anyway.isChecked() else "") or unnamed
        set_available(self.adopt_button, locked or against)
        set_available(self.discard_button, locked)
        set_available(self.name, locked or missing)
        set_available(self.field_button, missing)
        self.go_on_button.setVisible(self._can_go_on and not self._is_adopted)
        set_available(self.go_on_button, self._busy)
        for button in (self.again_button, self.back_button):
            button.setVisible(self._is_adopted)
            set_available(button, self._busy)
        nothing = (
            "" if self._view.is_shown else (missing or self._view.state or "Press 'This field' to run both models.")
        )
        for mode, button in self.modes.items():
            set_available(button, nothing)
            with QSignalBlocker(button):
                button.setChecked(mode == self._view.mode)
        set_available(self.wipe, nothing or ("" if self._view.mode == "wipe" else "Choose 'Wipe' to move the line."))
        with QSignalBlocker(self.wipe):
            self.wipe.setValue(round(_STEPS_OF_WIPE * self._view.wipe))
        self.state.setText(self._view.state)
        self.state.setVisible(bool(self._view.state))

    def _on_wipe(self, value: int) -> None:
        self._view.set_wipe(value / _STEPS_OF_WIPE)


def _button(text: str, name: str, purpose: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    describe(button, purpose)
    return button


def _row(first: QWidget, second: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.addWidget(first, 2)
    row.addWidget(second, 1)
    return row


def _table() -> QTableWidget:
    table = QTableWidget(0, 3)
    table.setObjectName("scores")
    table.setHorizontalHeaderLabels(["", "before", "after"])
    table.verticalHeader().setVisible(False)
    table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setToolTip("Scores of both models on regions that neither learned from; higher is better.")
    return table


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _rows(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    groups = (
        ("your regions", comparison.before, comparison.after),
        ("earlier images", comparison.rehearsal_before, comparison.rehearsal_after),
    )
    for where, before, after in groups:
        names = [name for name in {**after, **before} if name != "score"] or list({**after, **before})
        for name in names:
            yield f"{score_name(name)}, {where}", _number(before, name), _number(after, name)


def _number(scores: Mapping[str, float], name: str) -> str:
    return f"{scores[name]:.3f}" if name in scores else "–"


def _fill(table: QTableWidget, comparison: Comparison) -> None:
    rows = list(_rows(comparison))
    table.setRowCount(len(rows))
    for index, texts in enumerate(rows):
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(index, column, item)
    table.resizeColumnsToContents()
    table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    height = table.horizontalHeader().sizeHint().height() + sum(map(table.rowHeight, range(len(rows)))) + 4
    table.setFixedHeight(min(height, 200))
    table.setVisible(bool(rows))
