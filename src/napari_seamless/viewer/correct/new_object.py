"""Napari's own ways to begin a new object, the key M and the button "new", on labels whose ids must never repeat.

Napari looks for the largest id in the array, which it does for arrays in memory only, and which would give an id again
whose object was erased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton, QWidget

from napari_seamless.viewer.correct.correction import same_layer

if TYPE_CHECKING:
    from napari_seamless.viewer.correct.correction import Correction

_KEY = "M"
_BUTTON = "newLabelButton"


def take_over_new_object(window: QWidget | None, correction: Correction) -> None:
    """Let key and button choose an id that no object has or had.

    Parameters
    ----------
    window : QWidget or None
        The window with the controls of the layer; napari before 0.6.5 has no such button.
    correction : Correction
    """

    def new_object(layer: object = None) -> None:
        correction.new_object()

    correction.labels_layer.bind_key(_KEY, new_object, overwrite=True)
    for button in [] if window is None else window.findChildren(QPushButton, _BUTTON):
        if same_layer(_layer_of(button), correction.labels_layer):
            button.clicked.disconnect()
            button.clicked.connect(lambda: correction.new_object())


def _layer_of(control: QWidget) -> Any:
    """Return the layer whose controls a control belongs to."""
    parent = control.parent()
    while parent is not None:
        if hasattr(parent, "layer"):
            return parent.layer
        parent = parent.parent()
    return None
