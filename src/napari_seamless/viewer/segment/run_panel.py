"""The lower part of the Segment widget: what a run will take, the button, and how far it is."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_seamless.viewer.controls import text_label
from napari_seamless.viewer.segment.job import SEGMENTING, Progress
from napari_seamless.viewer.wording import progress_line

_START_TOOLTIP = "Start. Labels appear tile by tile; you can go on working meanwhile."


class RunPanel(QWidget):
    """Shows the estimate, starts and cancels, shows the progress."""

    start = Signal()
    cancel = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.estimate = text_label("estimate", "What the run will take, before it starts.")
        self.start_button = QPushButton("Segment")
        self.start_button.setObjectName("segment")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setObjectName("cancel")
        self.bar = QProgressBar()
        self.bar.setObjectName("progress")
        self.bar.setToolTip("Tiles that are finished.")
        self.status = text_label("status", "How far the run is, or how the last one ended.")
        self.correct_button = QPushButton("Correct this result")
        self.correct_button.setObjectName("correct_result")
        self.correct_button.setToolTip(
            "Make these labels editable, and keep on disk what you paint and what you say is right."
        )
        self._correct: Callable[[], None] | None = None
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.estimate)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.status)
        layout.addWidget(self.correct_button)
        self.start_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        self.correct_button.clicked.connect(self._on_correct)
        self.offer_to_correct(None)
        self.show_idle("")

    def set_estimate(self, text: str) -> None:
        """Show what a run will take, or why none can be started."""
        self.estimate.setText(text)

    def set_ready(self, reason: str) -> None:
        """Enable the Segment button, or disable it and say why."""
        self.start_button.setEnabled(not reason)
        self.start_button.setToolTip(reason or _START_TOOLTIP)

    def offer_to_correct(self, correct: Callable[[], None] | None) -> None:
        """Show the button that begins to correct the last result, or hide it."""
        self._correct = correct
        self.correct_button.setVisible(correct is not None)

    def _on_correct(self) -> None:
        correct = self._correct
        self.offer_to_correct(None)
        if correct is not None:
            correct()

    def show_idle(self, outcome: str) -> None:
        """No run: say how the last one ended."""
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.bar.setVisible(False)
        self.status.setText(outcome)
        self.cancel_button.setEnabled(False)
        self.cancel_button.setToolTip("Nothing is running.")

    def show_running(self, progress: Progress, is_cancelled: bool) -> None:
        """Show how far the run is."""
        self.offer_to_correct(None)
        self.bar.setVisible(True)
        is_counted = progress.total > 0 and progress.stage == SEGMENTING
        self.bar.setRange(0, progress.total if is_counted else 0)  # 0: a moving bar
        self.bar.setValue(progress.done)
        line = progress_line(progress.done, progress.total, progress.seconds_left) if is_counted else progress.stage
        self.status.setText(f"{line}\n{progress.notice}" if progress.notice else line)
        self.cancel_button.setEnabled(not is_cancelled)
        self.cancel_button.setToolTip(
            "It stops after the current tile." if is_cancelled else "Stop after the current tile and keep what is done."
        )
