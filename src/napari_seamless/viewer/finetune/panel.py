"""The lower part of the Fine-tune widget: the buttons, how far the training is, and its curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_seamless.viewer.controls import describe, set_available, text_label
from napari_seamless.viewer.wording import duration

if TYPE_CHECKING:
    from napari_seamless.viewer.finetune.curves_plot import CurvesPlot
    from napari_seamless.viewer.finetune.progress import TrainingProgress

_START = "Train in the background; you can go on working meanwhile. The result is shown before anything is replaced."
_STOP = "End the training now and keep the best weights so far."
_STOP_AT_ONCE = "It saves and compares what it has. Press again to end it at once, without that."
_NOTHING_RUNS = "Nothing is being trained."


class FinetunePanel(QWidget):
    """Starts and stops, shows the progress.

    Signals
    -------
    start, stop, copy
        The buttons.
    preview_toggled
        Whether the live preview is wanted.
    """

    start = Signal()
    stop = Signal()
    copy = Signal()
    preview_toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.start_button = _button("Fine-tune", "finetune", _START)
        self.stop_button = _button("Stop", "stop", _STOP)
        self.copy_button = _button(
            "Copy as command", "copy_command", "Copy the command that does this in a terminal or on a cluster."
        )
        self.preview_box = QCheckBox("Live preview")
        self.preview_box.setObjectName("live_preview")
        describe(
            self.preview_box,
            "Every few seconds, outline what the model finds by now in the visible field, in the layer 'preview'.",
        )
        self.bar = QProgressBar()
        self.bar.setObjectName("progress")
        describe(self.bar, "How much of the time is used.")
        self.status = text_label("status", "How far the training is, or how the last one ended.")
        self.curves: CurvesPlot | None = None
        self._seconds: float | None = None
        self._lay_out()
        self.start_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self.stop)
        self.copy_button.clicked.connect(self.copy)
        self.preview_box.toggled.connect(self.preview_toggled)
        self.show_idle("")

    def _lay_out(self) -> None:
        buttons, extras = QHBoxLayout(), QHBoxLayout()
        buttons.addWidget(self.start_button, 2)
        buttons.addWidget(self.stop_button, 1)
        extras.addWidget(self.preview_box, 1)
        extras.addWidget(self.copy_button)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addLayout(buttons)
        self._column.addLayout(extras)
        self._column.addWidget(self.bar)
        self._column.addWidget(self.status)

    def set_curves(self, curves: CurvesPlot) -> None:
        """Put the plot, which takes a moment to load, in its place."""
        self.curves = curves
        curves.setVisible(self.bar.isVisibleTo(self) or bool(curves.loss.steps))
        self._column.addWidget(curves)

    def set_ready(self, reason: str, *, can_copy: bool) -> None:
        """Enable the buttons, or disable them and say why."""
        set_available(self.start_button, reason)
        set_available(self.copy_button, "" if can_copy else reason)

    def show_idle(self, outcome: str) -> None:
        """Nothing is trained: say how the last training ended."""
        self.bar.setVisible(False)
        self.status.setText(outcome)
        set_available(self.stop_button, _NOTHING_RUNS)

    def show_started(self, seconds: float | None) -> None:
        """A training begins, with this budget."""
        self._seconds = seconds
        if self.curves is not None:
            self.curves.clear()
            self.curves.setVisible(True)
        self.bar.setVisible(True)
        self.bar.setRange(0, 0)  # a moving bar
        self.status.setText("Starting…")
        set_available(self.stop_button, "")

    def show_progress(self, progress: TrainingProgress, *, is_stopping: bool) -> None:
        """Show how far the training is."""
        left = progress.seconds_left
        is_counted = self._seconds is not None and left is not None and not is_stopping
        self.bar.setRange(0, 1000 if is_counted else 0)
        if is_counted:
            self.bar.setValue(round(1000 * min(1.0, max(0.0, 1 - left / self._seconds))))
        self.status.setText(_status_line(progress, self._seconds, is_stopping=is_stopping))
        self.status.setToolTip(progress.description or str(self.status.property("purpose")))
        if is_stopping:
            self.stop_button.setToolTip(_STOP_AT_ONCE)

    def clear_curves(self) -> None:
        """Begin the curves anew."""
        if self.curves is not None:
            self.curves.clear()

    def show_curves(self, progress: TrainingProgress, first_loss: int, first_score: int) -> None:
        """Add points to the curves: losses and scores from these numbers on."""
        if self.curves is not None:
            for step, loss in progress.losses[first_loss:]:
                self.curves.add_loss(step, loss)
            for step, score in progress.scores[first_score:]:
                self.curves.add_score(step, score)


def _button(text: str, name: str, purpose: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    describe(button, purpose)
    return button


def _status_line(progress: TrainingProgress, seconds: float | None, *, is_stopping: bool) -> str:
    if is_stopping:
        return "Stopping: it saves and compares what it has learned…"
    if not progress.losses:
        return progress.description or "Starting…"
    parts = [f"{progress.step:,} steps"]
    if progress.best:
        parts.append(f"best score {progress.best.get('score', 0.0):.3f}")
    if seconds is None:
        parts.append("until you stop it")
    elif progress.seconds_left is not None:
        is_over = progress.seconds_left <= 0
        parts.append("comparing before and after…" if is_over else f"{duration(progress.seconds_left)} left")
    return ", ".join(parts)
