"""Small parts that the dock widgets are made of: every control says what it is for, or why it can't be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QToolTip, QVBoxLayout, QWidget

Choice = tuple[str, Any]
"""What a combo box shows, and the value behind it."""

_NARROWEST_COMBO = 12
_WIDTH_OF_MORE = 28
_WIDTH_OF_ARROW = 36


class NarrowCombo(QComboBox):
    """A combo box that doesn't grow with its longest entry: its tooltip tells what is cut off."""

    @property
    def full_tip(self) -> str:
        """The tooltip, below what is chosen if that is too long to be read."""
        text = self.currentText()
        is_cut = self.fontMetrics().horizontalAdvance(text) > self.width() - _WIDTH_OF_ARROW
        return f"{text}\n\n{self.toolTip()}" if is_cut else self.toolTip()

    def event(self, event: QEvent) -> bool:
        """Show the tooltip."""
        if event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.full_tip, self)
            return True
        return bool(super().event(event))


def combo(name: str, purpose: str) -> QComboBox:
    """Return an empty combo box that doesn't grow with its longest entry."""
    box = NarrowCombo()
    box.setObjectName(name)
    describe(box, purpose)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_NARROWEST_COMBO)
    return box


def set_choices(box: QComboBox, choices: Sequence[Choice], chosen: object = None) -> None:
    """Fill a combo box without a signal; choose `chosen`, or keep the choice, or take the first."""
    wanted = box.currentData() if chosen is None else chosen
    values = [value for _, value in choices]
    with QSignalBlocker(box):
        box.clear()
        for index, (text, value) in enumerate(choices):
            box.addItem(text, value)
            box.setItemData(index, text, Qt.ItemDataRole.ToolTipRole)  # for names longer than the box
        box.setCurrentIndex(values.index(wanted) if wanted in values else min(0, len(values) - 1))


def describe(control: QWidget, purpose: str) -> None:
    """Give a control the tooltip that it has whenever it can be used."""
    control.setProperty("purpose", purpose)
    control.setToolTip(purpose)


def set_available(control: QWidget, reason: str) -> None:
    """Enable a control, or disable it with the reason as its tooltip; an empty reason enables."""
    control.setEnabled(not reason)
    control.setToolTip(reason or str(control.property("purpose") or ""))


def more_button(name: str, purpose: str) -> QPushButton:
    """Return the small button with three dots that stands beside a control."""
    button = QPushButton("…")
    button.setObjectName(name)
    button.setFixedWidth(_WIDTH_OF_MORE)
    describe(button, purpose)
    return button


def text_label(name: str, purpose: str) -> QLabel:
    """Return a label for a sentence or two."""
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    describe(label, purpose)
    return label


def single_shot(wait_ms: int, function: Callable[[], None], owner: QObject) -> QTimer:
    """Return a timer that calls a function once, a while after its last start, unless its owner is gone by then."""
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(wait_ms)
    timer.timeout.connect(function)
    return timer


def side_by_side(*widgets: QWidget) -> QHBoxLayout:
    """Lay widgets out in a row; the first one takes the space that is left."""
    layout = QHBoxLayout()
    layout.setSpacing(4)
    for index, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if index == 0 else 0)
    return layout


def stacked(*layouts: QHBoxLayout | QWidget) -> QVBoxLayout:
    """Lay layouts and widgets out below each other."""
    column = QVBoxLayout()
    column.setSpacing(2)
    for part in layouts:
        if isinstance(part, QWidget):
            column.addWidget(part)
        else:
            column.addLayout(part)
    return column
