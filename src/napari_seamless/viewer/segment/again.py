"""Segment an image anew with another model, through the Segment widget itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari

    from napari_seamless.viewer.correct.correction import Correction


def segment_again(viewer: napari.Viewer, correction: Correction, model: Path, channel: int | None) -> None:
    """Open the Segment widget, choose the image and the model in it, and press its button.

    What was verified stays: the widget writes into the workspace of an image that is being corrected.
    """
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Segment", tabify=True)
    box = widget.images.image_box
    keys = [box.itemData(index) for index in range(box.count())]
    key = tuple(str(layer.unique_id) for layer in correction.image_layers)
    if key in keys:
        box.setCurrentIndex(keys.index(key))
        widget.images.axes_box.setCurrentIndex(widget.images.axes_box.findData(correction.axes))
    if correction.origin.channel is not None:
        widget.images.channel_box.setCurrentIndex(correction.origin.channel)
    widget.models.add_model(model)
    if channel is not None and widget.images.channel_box.isEnabled():
        widget.images.channel_box.setCurrentIndex(channel)
    widget.scope.buttons["whole"].setChecked(True)
    widget.start()
