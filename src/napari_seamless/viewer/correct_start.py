"""Beginning to correct from elsewhere: a result of Segment, a file that was dropped, or corrections found beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_seamless.errors import SeamlessError
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.workspaces import workspaces_of

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.viewer.image_choice import ImageChoice


def begin_to_correct(
    viewer: napari.Viewer, image: ImageChoice, axes: str, labels: napari.layers.Labels | None = None
) -> None:
    """Open the workspace of an image with some labels, and the Correct panel."""
    if any(layer not in viewer.layers for layer in (*image.layers, *([] if labels is None else [labels]))):
        return  # removed meanwhile, so there is nothing to correct
    viewer.window.add_plugin_dock_widget("napari-seamless", "Correct")
    try:
        workspaces_of(viewer).start(image, axes, labels)
    except SeamlessError as error:
        report(error)
