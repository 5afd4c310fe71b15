"""Closing napari, or the panel, during a training: the person is asked whether it goes on or stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox, QPushButton, QWidget

Answer = Literal["go on", "stop", "cancel"]

_ONE_CLOSING_SECONDS = 5.0
"""Window and panel close one after the other: the answer is good for both."""


def ask(parent: QWidget | None, *, has_budget: bool, can_cancel: bool) -> Answer:
    """Ask what becomes of the training."""
    box, go_on, stop = question(parent, has_budget=has_budget, can_cancel=can_cancel)
    box.exec()
    clicked = box.clickedButton()
    if clicked is stop:
        return "stop"
    return "go on" if clicked is go_on or not can_cancel else "cancel"


def question(
    parent: QWidget | None, *, has_budget: bool, can_cancel: bool
) -> tuple[QMessageBox, QPushButton, QPushButton]:
    """Return the question, and the buttons that let the training go on and stop."""
    box = QMessageBox(parent)
    box.setWindowTitle("A training is in progress")
    box.setText("Shall the training go on?")
    limit = "It ends by itself" if has_budget else "It has no time limit, so it goes on until you come back and stop it"
    box.setInformativeText(
        f"{limit}. Its result waits for you when you open this image and Fine-tune again.\n"
        "If it stops, the best weights so far are kept and wait there, too."
    )
    go_on = box.addButton("Go on", QMessageBox.ButtonRole.AcceptRole)
    go_on.setToolTip("Close, and let the training go on without a window.")
    stop = box.addButton("Stop", QMessageBox.ButtonRole.DestructiveRole)
    stop.setToolTip("Close, and end the training; it saves the best weights first.")
    if can_cancel:
        box.addButton(QMessageBox.StandardButton.Cancel).setToolTip("Close nothing.")
    box.setDefaultButton(go_on)
    return box, go_on, stop


class ClosingQuestion(QObject):
    """Watches the main window, and asks once for each closing.

    Parameters
    ----------
    is_running : callable
        Whether there is anything to ask about.
    has_budget : callable
        Whether the training ends by itself.
    stop : callable
        Stops the training.
    parent : QWidget
        The panel.
    """

    def __init__(
        self,
        is_running: Callable[[], bool],
        has_budget: Callable[[], bool],
        stop: Callable[[], None],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._is_running = is_running
        self._has_budget = has_budget
        self._stop = stop
        self._answered_at = float("-inf")
        self._is_asking = False

    def watch(self, window: QObject | None) -> None:
        """Ask when this window is closed."""
        if window is not None:
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802  (the name is Qt's)
        """Keep the window open if the person chose to cancel."""
        if event.type() == QEvent.Type.Close and self.answer(watched, can_cancel=True) == "cancel":
            event.ignore()
            return True
        return False

    def answer(self, window: QObject | None, *, can_cancel: bool) -> Answer:
        """Ask, unless nothing is being trained or the answer is known, and stop the training if that is the answer."""
        is_known = self._is_asking or time.monotonic() - self._answered_at < _ONE_CLOSING_SECONDS
        if is_known or not self._is_running():
            return "go on"
        self._is_asking = True
        try:
            parent = window if isinstance(window, QWidget) else None
            answer = ask(parent, has_budget=self._has_budget(), can_cancel=can_cancel)
        finally:
            self._is_asking = False
        if answer != "cancel":
            self._answered_at = time.monotonic()
        if answer == "stop":
            self._stop()
        return answer
