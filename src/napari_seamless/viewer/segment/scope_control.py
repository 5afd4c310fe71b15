"""What to segment: the whole image, the current slice, or the visible field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QRadioButton, QVBoxLayout, QWidget

from napari_seamless.viewer.controls import describe, set_available

Scope = Literal["whole", "slice", "field"]

_CHOICES: tuple[tuple[Scope, str, str], ...] = (
    ("whole", "Whole image", "Every slice and time point, from edge to edge."),
    ("slice", "Current slice", "The slice (and time point) at which the sliders stand."),
    (
        "field",
        "Visible field",
        "What the canvas shows now; the labels are those that the whole image would give there.",
    ),
)


class ScopeControl(QWidget):
    """Three radio buttons; one that can't be used is disabled and says why."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        group = QButtonGroup(self)
        self.buttons: dict[Scope, QRadioButton] = {}
        for scope, text, purpose in _CHOICES:
            button = QRadioButton(text)
            button.setObjectName(f"scope_{scope}")
            describe(button, purpose)
            group.addButton(button)
            layout.addWidget(button)
            self.buttons[scope] = button
        self.buttons["whole"].setChecked(True)
        group.buttonToggled.connect(self._on_toggle)

    @property
    def scope(self) -> Scope:
        """The chosen one."""
        return next(scope for scope, button in self.buttons.items() if button.isChecked())

    def set_reasons(self, reasons: Mapping[Scope, str]) -> None:
        """Disable each choice that has a reason, enable each one whose reason is empty."""
        for scope, reason in reasons.items():
            set_available(self.buttons[scope], reason)

    def _on_toggle(self, button: QRadioButton, is_checked: bool) -> None:
        if is_checked:
            self.changed.emit()
