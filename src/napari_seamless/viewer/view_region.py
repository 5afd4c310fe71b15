"""What of an image the viewer shows now: its current slice and its visible field, in pixels of the image."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from napari_seamless.viewer.napari_versions import camera_of, canvas_size, shows_grid

if TYPE_CHECKING:
    import napari
    import napari.layers

RegionDict = dict[str, tuple[int, int]]


class NotInView(Exception):
    """The view shows no such region; the message says why, and is shown as the reason of a disabled choice."""


def current_slice(viewer: napari.Viewer, layer: napari.layers.Image, axes: str) -> RegionDict:
    """Return the steps along T and Z at which the view stands.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari.layers.Image
    axes : str
        Meaning of the layer's axes, without ``S``.

    Raises
    ------
    NotInView
        When the image has no such axis, the view shows it whole, or stands beside the image.
    """
    _require_plane_in_view(viewer, layer, axes)
    shown = _shown_axes(viewer, layer)
    stepped = [index for index, letter in enumerate(axes) if letter in "TZ" and index not in shown]
    if not stepped:
        is_plane = not {"T", "Z"} & set(axes)
        raise NotInView(
            "The image is a single slice." if is_plane else "The 3D view shows the whole stack: switch to 2D."
        )
    position = layer.world_to_data(_world_point(viewer))
    region = {}
    for index in stepped:
        step = round(float(position[index]))
        if not 0 <= step < _shape(layer)[index]:
            raise NotInView("The sliders stand outside this image.")
        region[axes[index]] = (step, step + 1)
    return region


def visible_field(viewer: napari.Viewer, layer: napari.layers.Image, axes: str) -> RegionDict:
    """Return the part of the current slice that the canvas shows.

    Raises
    ------
    NotInView
        In the 3D view, in the grid view, or when the image is out of sight.
    """
    if viewer.dims.ndisplay == 3:
        raise NotInView("The 3D view has no visible field: switch to 2D.")
    if shows_grid(viewer):
        raise NotInView("The grid view shows several fields: leave the grid first.")
    _require_plane_in_view(viewer, layer, axes)
    corners = np.array([layer.world_to_data(corner) for corner in _canvas_corners(viewer)])
    region = {}
    for letter in "YX":
        index = axes.index(letter)
        # A pixel's centre has its index as coordinate, so it reaches from index - 0.5 to index + 0.5.
        start = max(0, int(np.floor(corners[:, index].min() + 0.5)))
        stop = min(_shape(layer)[index], int(np.ceil(corners[:, index].max() + 0.5)))
        if start >= stop:
            raise NotInView("The image is out of sight: move it into the view.")
        region[letter] = (start, stop)
    if {"T", "Z"} & set(axes):
        region |= current_slice(viewer, layer, axes)
    return region


def _require_plane_in_view(viewer: napari.Viewer, layer: napari.layers.Image, axes: str) -> None:
    shown = "".join(axes[index] for index in sorted(_shown_axes(viewer, layer)))
    if not {"Y", "X"} <= set(shown):
        raise NotInView(f"The view shows the axes {shown}: turn it so that it shows Y and X.")


def _shown_axes(viewer: napari.Viewer, layer: napari.layers.Image) -> set[int]:
    """Return the layer's axes that the canvas shows; napari aligns layers by their last axes."""
    missing = viewer.dims.ndim - layer.ndim
    return {axis - missing for axis in viewer.dims.displayed if axis >= missing}


def _world_point(viewer: napari.Viewer) -> np.ndarray:
    return np.array(viewer.dims.point, dtype=float)


def _canvas_corners(viewer: napari.Viewer) -> list[np.ndarray]:
    """Return the four corners of the canvas in world coordinates."""
    displayed = list(viewer.dims.displayed)
    camera = camera_of(viewer)
    centre = np.array(camera.center[-2:], dtype=float)
    half = np.array(canvas_size(viewer), dtype=float) / camera.zoom / 2
    corners = []
    for signs in itertools.product((-1, 1), repeat=2):
        corner = _world_point(viewer)
        corner[displayed] = centre + np.array(signs) * half
        corners.append(corner)
    return corners


def _shape(layer: napari.layers.Image) -> tuple[int, ...]:
    shape = layer.level_shapes[0] if layer.multiscale else layer.data.shape
    return tuple(int(length) for length in shape)[: layer.ndim]
