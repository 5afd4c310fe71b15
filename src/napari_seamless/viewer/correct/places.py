"""Places in the view of an image that is corrected: what a person points at, and how to get there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.viewer.napari_versions import camera_of, canvas_size
from napari_seamless.viewer.view_region import NotInView, RegionDict, current_slice, visible_field

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.images.boxes import Box
    from napari_seamless.viewer.correct.correction import Correction

_SHARE_OF_CANVAS = 0.8


def slice_in_view(viewer: napari.Viewer, correction: Correction) -> RegionDict:
    """Return the plane at which the view stands; of a flat image everything.

    Raises
    ------
    NotInView
        As `current_slice` raises it.
    """
    if not {"T", "Z"} & set(correction.labels_axes):
        visible_axes(viewer, correction)
        return {}
    return current_slice(viewer, correction.labels_layer, correction.labels_axes)


def visible_axes(viewer: napari.Viewer, correction: Correction) -> None:
    """Raise NotInView unless the view shows a plane of the image."""
    if viewer.dims.ndisplay == 3:
        raise NotInView("The 3D view shows the whole stack: switch to 2D.")


def box_in_view(viewer: napari.Viewer, correction: Correction) -> RegionDict:
    """Return the selected rectangle of a Shapes layer if the view shows it, else the visible field.

    Raises
    ------
    NotInView
        As `visible_field` raises it.
    """
    field = visible_field(viewer, correction.labels_layer, correction.labels_axes)
    return selected_rectangle(viewer, correction, field) or field


def selected_rectangle(viewer: napari.Viewer, correction: Correction, field: RegionDict) -> RegionDict | None:
    """Return the pixels whose centres lie in a selected rectangle that meets the visible field; None without any."""
    from napari.layers import Shapes

    layers = [layer for layer in viewer.layers if isinstance(layer, Shapes) and layer.visible]
    active = viewer.layers.selection.active
    for layer in sorted(reversed(layers), key=lambda layer: layer is not active):
        for index in sorted(layer.selected_data, reverse=True):
            if index < len(layer.data):
                region = _pixels_in(viewer, correction, layer, layer.data[index], field)
                if region is not None:
                    return region
    return None


def _pixels_in(
    viewer: napari.Viewer, correction: Correction, layer: Any, corners: Any, field: RegionDict
) -> RegionDict | None:
    labels, axes = correction.labels_layer, correction.labels_axes
    places = np.array([_in_labels(viewer, labels, layer, corner) for corner in corners])
    region: RegionDict = {}
    for axis, (low, high) in field.items():
        values = places[:, axes.index(axis)]
        if axis in "YX":
            start, stop = int(np.ceil(values.min())), int(np.floor(values.max())) + 1
            if min(stop, high) <= max(start, low):
                return None
            length = labels.data.shape[axes.index(axis)]
            region[axis] = (max(0, start), min(length, stop))
        else:
            if not np.all(np.round(values) == low):  # drawn in another slice
                return None
            region[axis] = (low, high)
    return region


def _in_labels(viewer: napari.Viewer, labels: Any, layer: Any, corner: Any) -> Any:
    """Return a point of one layer in the pixels of the labels; napari aligns layers by their last axes."""
    point = np.array(viewer.dims.point, dtype=float)
    point[viewer.dims.ndim - layer.ndim :] = layer.data_to_world(corner)
    return labels.world_to_data(point)


def show_place(viewer: napari.Viewer, correction: Correction, box: Box, *, closer: bool = False) -> None:
    """Bring the middle of a region into the view; zoom out if it does not fit, and in if `closer` is wanted."""
    layer, axes = correction.labels_layer, correction.labels_axes
    pairs = dict(zip(correction.workspace.axes, box, strict=True))
    spans = [pairs.get(axis, (0, 1)) for axis in axes]
    missing = viewer.dims.ndim - layer.ndim
    middle = [
        (start + stop - 1) // 2 if axis in "TZC" else (start + stop - 1) / 2
        for axis, (start, stop) in zip(axes, spans, strict=True)
    ]
    world = np.asarray(layer.data_to_world(middle))
    steps = [axis for axis in range(layer.ndim) if axis + missing not in viewer.dims.displayed]
    viewer.dims.set_point([axis + missing for axis in steps], [float(world[axis]) for axis in steps])
    camera = camera_of(viewer)
    shown = [axis - missing for axis in viewer.dims.displayed if axis >= missing]
    camera.center = (0.0,) * (3 - len(shown)) + tuple(float(world[axis]) for axis in shown)
    sizes = [max((spans[axis][1] - spans[axis][0]) * abs(float(layer.scale[axis])), 1e-9) for axis in shown[-2:]]
    fitting = min(pixels / size for pixels, size in zip(canvas_size(viewer), sizes, strict=True)) * _SHARE_OF_CANVAS
    camera.zoom = fitting if closer else min(camera.zoom, fitting)


def place_text(correction: Correction, box: Box) -> str:
    """Return where a region is, counted from 0 as napari's sliders count: ``Z 12, Y 0-99, X 20-59``."""
    return _place(correction, box, "{start}-{last}")


def short_place(correction: Correction, box: Box) -> str:
    """Return where a region begins: ``Z 12, Y 0, X 20``."""
    return _place(correction, box, "{start}")


def _place(correction: Correction, box: Box, span: str) -> str:
    parts = []
    for axis, (start, stop), length in zip(correction.workspace.axes, box, correction.workspace.shape, strict=True):
        if (start, stop) != (0, length) or axis not in "YX":
            text = str(start) if stop == start + 1 else span.format(start=start, last=stop - 1)
            parts.append(f"{axis} {text}")
    return ", ".join(parts) or "everything"
