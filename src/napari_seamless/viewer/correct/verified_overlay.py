"""What is verified, as a translucent layer over the labels; only the visible plane is ever read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_seamless.viewer.correct.correction import same_layer
from napari_seamless.viewer.layers import METADATA_KEY

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.viewer.correct.correction import Correction

_OPACITY = 0.25
_PAINTED, _MARKED = "#ffd166", "#2ec4a6"
COLOURS = {None: _MARKED, 0: "transparent", 1: _PAINTED, 2: _MARKED, 3: _MARKED}
"""By flag: painted by a person, in a region that was marked as right, both."""


def overlay_of(viewer: napari.Viewer, correction: Correction) -> napari.layers.Labels | None:
    """Return the overlay of a correction if the viewer has it."""
    folder = str(correction.workspace.folder)
    for layer in viewer.layers:
        facts = layer.metadata.get(METADATA_KEY, {})
        if facts.get("kind") == "verified" and facts.get("workspace") == folder:
            return layer
    return None


def show_overlay(viewer: napari.Viewer, correction: Correction, is_shown: bool) -> None:
    """Add the overlay, show it, or hide it; the layer that was active stays so."""
    overlay = overlay_of(viewer, correction)
    if overlay is not None:
        overlay.visible = is_shown
        return
    if not is_shown:
        return
    active = viewer.layers.selection.active
    overlay = viewer.add_labels(
        correction.layer_verified(),
        name=f"{correction.name} · verified",
        opacity=_OPACITY,
        colormap=_colormap(),
        metadata={METADATA_KEY: {"kind": "verified", "workspace": str(correction.workspace.folder)}},
        **correction.placement,
    )
    overlay.editable = False
    if active is not None and not same_layer(active, overlay):
        viewer.layers.selection.active = active


def refresh_overlay(viewer: napari.Viewer, correction: Correction) -> None:
    """Read the visible plane anew."""
    overlay = overlay_of(viewer, correction)
    if overlay is not None and overlay.visible:
        overlay.refresh(extent=False, thumbnail=False, highlight=False)


def remove_overlays(viewer: napari.Viewer, folders: set[str]) -> None:
    """Take away the overlays of workspaces that are not among `folders`."""
    for layer in list(viewer.layers):
        facts = layer.metadata.get(METADATA_KEY, {})
        if facts.get("kind") == "verified" and facts.get("workspace") not in folders:
            viewer.layers.remove(layer)


def _colormap() -> Any:
    from napari.utils import DirectLabelColormap

    return DirectLabelColormap(color_dict=COLOURS)
