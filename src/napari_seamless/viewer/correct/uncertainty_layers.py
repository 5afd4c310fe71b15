"""What "Where next?" brings into the viewer: the uncertainty map as an image, and a rectangle around the next field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.viewer.correct.correction import same_layer
from napari_seamless.viewer.layers import METADATA_KEY, UNCERTAINTY_KIND

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.images.boxes import Box
    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.workspace.uncertainty_file import UncertaintyMap

_OPACITY = 0.5
_COLORMAP = "magma"
_EDGE_COLOUR = "#22d3ee"
_EDGE_PIXELS = 2
_MAP, _PLACE = UNCERTAINTY_KIND, "next place"


def map_layer(viewer: napari.Viewer, correction: Correction) -> napari.layers.Image | None:
    """Return the layer with a correction's uncertainty map if the viewer has it."""
    return _layer_of(viewer, correction, _MAP)


def show_map(viewer: napari.Viewer, correction: Correction, found: UncertaintyMap) -> napari.layers.Image:
    """Show a map below the labels, in the layer of an earlier one if there is one, and return the layer.

    The active layer stays active. A layer is never removed to make place for another: napari collects all of Python's
    garbage when one is removed, which takes it some tenths of a second.
    """
    from napari.layers import Image

    earlier = map_layer(viewer, correction)
    if earlier is not None:
        earlier.data = _as_data(found.array, correction.extra_axes)
        earlier.contrast_limits = (0.0, found.highest or 1.0)
        earlier.visible = True
        return earlier
    layer = Image(
        _as_data(found.array, correction.extra_axes),
        name=f"{correction.name} · uncertainty",
        colormap=_COLORMAP,
        opacity=_OPACITY,
        blending="translucent",
        contrast_limits=(0.0, found.highest or 1.0),
        metadata=_metadata(correction, _MAP),
        **correction.placement,
    )
    _insert_below_labels(viewer, correction, layer)
    return layer


def mark_place(viewer: napari.Viewer, correction: Correction, box: Box) -> None:
    """Draw a rectangle around a field, selected, so that "This box is right" means it."""
    from napari.layers import Shapes

    layer = _layer_of(viewer, correction, _PLACE)
    if layer is None:
        active = viewer.layers.selection.active
        layer = Shapes(
            ndim=correction.labels_layer.ndim,
            name=f"{correction.name} · next",
            metadata=_metadata(correction, _PLACE),
            **correction.placement,
        )
        viewer.add_layer(layer)
        viewer.layers.selection.active = active if active is not None else correction.labels_layer
    layer.visible = True
    layer.data = []
    layer.add_rectangles(
        [_corners(correction, box)], edge_color=_EDGE_COLOUR, face_color="transparent", edge_width=_EDGE_PIXELS
    )
    layer.selected_data = {0}


def remove_mark(viewer: napari.Viewer, correction: Correction) -> None:
    """Take the rectangle away."""
    layer = _layer_of(viewer, correction, _PLACE)
    if layer is not None and len(layer.data):
        layer.data = []


def remove_layers(viewer: napari.Viewer, folders: set[str]) -> None:
    """Take away what belongs to workspaces that are not among `folders`."""
    for layer in list(viewer.layers):
        facts = layer.metadata.get(METADATA_KEY, {})
        if facts.get("kind") in (_MAP, _PLACE) and facts.get("belongs_to") not in folders:
            _remove(viewer, layer)


def _layer_of(viewer: napari.Viewer, correction: Correction, kind: str) -> Any:
    wanted = _metadata(correction, kind)[METADATA_KEY]
    return next((layer for layer in viewer.layers if layer.metadata.get(METADATA_KEY) == wanted), None)


def _metadata(correction: Correction, kind: str) -> dict[str, Any]:
    return {METADATA_KEY: {"kind": kind, "belongs_to": str(correction.workspace.folder)}}


def _as_data(array: Any, extra_axes: tuple[int, ...]) -> Any:
    """Return the map as the layer needs it: with an axis of length 1 where the labels have one."""
    if not extra_axes:
        return array
    import dask.array as da

    return da.expand_dims(da.from_zarr(array), extra_axes)


def _insert_below_labels(viewer: napari.Viewer, correction: Correction, layer: napari.layers.Layer) -> None:
    active = viewer.layers.selection.active
    labels = [index for index, other in enumerate(viewer.layers) if same_layer(other, correction.labels_layer)]
    viewer.layers.insert(labels[0] if labels else len(viewer.layers), layer)
    if active is not None:
        viewer.layers.selection.active = active


def _remove(viewer: napari.Viewer, layer: napari.layers.Layer | None) -> None:
    if layer is not None:
        layer.visible = False  # software OpenGL crashes when it draws what is left after a removal
        viewer.layers.remove(layer)


def _corners(correction: Correction, box: Box) -> np.ndarray:
    """Return the corners of a field in the pixels of the Labels layer, whose centres have whole numbers."""
    pairs = dict(zip(correction.workspace.axes, box, strict=True))
    (top, bottom), (left, right) = ((start - 0.5, stop - 0.5) for start, stop in (pairs["Y"], pairs["X"]))
    places = {"Y": (top, top, bottom, bottom), "X": (left, right, right, left)}
    columns = [places.get(axis, (pairs.get(axis, (0, 1))[0],) * 4) for axis in correction.labels_axes]
    return np.array(columns, dtype=float).T
