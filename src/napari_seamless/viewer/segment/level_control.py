"""The slider between speed and accuracy: at which level of a UNet++ the labels are read."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSlider, QWidget

from napari_seamless.viewer.controls import describe, set_available

Level = int | str
"""What `napari_seamless.segment` takes: ``"auto"``, 1..depth, or ``"accurate"``."""

_PURPOSE = (
    "A UNet++ can stop at a shallower level: less arithmetic and smaller halos, for slightly rougher labels.\n"
    "The last step averages all levels."
)


class LevelControl(QWidget):
    """A check box for "auto" and a slider over the levels, ending in the mean of all of them."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.auto = QCheckBox("auto")
        self.auto.setObjectName("level_auto")
        self.auto.setChecked(True)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("level")
        self.slider.setPageStep(1)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.caption = QLabel()
        describe(self.caption, "The level at which the labels are read.")
        self.caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._levels: tuple[int, ...] = ()
        self._auto_level = 0
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(0)
        layout.addWidget(self.auto, 0, 0)
        layout.addWidget(self.slider, 0, 1)
        layout.addWidget(self.caption, 1, 1)
        layout.setColumnStretch(1, 1)
        self.auto.toggled.connect(self._on_change)
        self.slider.valueChanged.connect(self._on_change)
        self._reason = ""
        describe(
            self.auto,
            "Let the program choose: the fastest level that is as good as the best one, as far as was measured.",
        )
        describe(self.slider, _PURPOSE)
        self.show_state()

    @property
    def level(self) -> Level:
        """The chosen level."""
        if self.auto.isChecked() or not self._levels:
            return "auto"
        value = self.slider.value()
        return "accurate" if value > self._levels[-1] else value

    def set_levels(self, levels: tuple[int, ...], auto_level: int, reason: str = "") -> None:
        """Offer a model's levels and say which one "auto" means.

        With fewer than two there is nothing to choose, and `reason` says why.
        """
        self._auto_level = auto_level
        self._levels = levels if len(levels) > 1 else ()
        self._reason = "" if self._levels else reason
        with QSignalBlocker(self.slider):
            self.slider.setRange(levels[0] if levels else 0, levels[-1] + 1 if levels else 0)
        self._put_slider(auto_level)
        self.show_state()

    def show_state(self, locked: str = "") -> None:
        """Enable what can be chosen. `locked` says why nothing can be; empty when something can."""
        reason = locked or self._reason
        set_available(self.auto, reason)
        is_auto = self.auto.isChecked()
        set_available(self.slider, reason or ("Untick 'auto' to choose a level.\n" + _PURPOSE if is_auto else ""))
        self.caption.setEnabled(self.slider.isEnabled())
        self.caption.setText(self._caption())

    def _on_change(self) -> None:
        if self.auto.isChecked():
            self._put_slider(self._auto_level)
        self.show_state()
        self.changed.emit()

    def _put_slider(self, level: int) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(level)

    def _caption(self) -> str:
        if not self._levels:
            return "one level only"
        level = self._auto_level if self.auto.isChecked() else self.level
        return "all levels, averaged" if level == "accurate" else f"level {level} of {self._levels[-1]}"
