"""What of an image the view shows."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_seamless.viewer.view_region import NotInView, current_slice, visible_field


def viewer_with(*shape: int, **settings: object) -> tuple[ViewerModel, Image]:
    """A viewer model without a window, looking at 100 x 200 pixels of the canvas at zoom 1."""
    viewer = ViewerModel()
    layer = Image(da.zeros(shape, dtype=np.uint8), contrast_limits=(0, 1), **settings)
    viewer.add_layer(layer)
    viewer.canvas.size = (100, 200)
    viewer.scene.camera.zoom = 1.0
    return viewer, layer


def test_current_slice_is_where_the_sliders_stand():
    viewer, layer = viewer_with(6, 5, 80, 90, scale=(1.0, 2.5, 1.0, 1.0), translate=(0.0, 10.0, 0.0, 0.0))
    viewer.dims.set_point((0, 1), (4.0, 17.5))
    assert current_slice(viewer, layer, "TZYX") == {"T": (4, 5), "Z": (3, 4)}


def test_channels_are_no_slices():
    viewer, layer = viewer_with(3, 5, 80, 90)
    viewer.dims.set_point((0, 1), (2.0, 3.0))
    assert current_slice(viewer, layer, "CZYX") == {"Z": (3, 4)}


def test_time_alone_is_the_slice_of_a_volume_in_the_3d_view():
    viewer, layer = viewer_with(6, 5, 80, 90)
    viewer.dims.ndisplay = 3
    viewer.dims.set_point(0, 2.0)
    assert current_slice(viewer, layer, "TZYX") == {"T": (2, 3)}


@pytest.mark.parametrize(
    ("shape", "axes", "ndisplay", "order", "reason"),
    [
        pytest.param((80, 90), "YX", 2, (0, 1), "single slice", id="flat image"),
        pytest.param((5, 80, 90), "ZYX", 3, (0, 1, 2), "switch to 2D", id="volume in 3D"),
        pytest.param((5, 80, 90), "ZYX", 2, (1, 0, 2), "shows the axes ZX", id="turned view"),
    ],
)
def test_why_there_is_no_current_slice(shape, axes, ndisplay, order, reason):
    viewer, layer = viewer_with(*shape)
    viewer.dims.ndisplay = ndisplay
    viewer.dims.order = order
    with pytest.raises(NotInView, match=reason):
        current_slice(viewer, layer, axes)


def test_no_current_slice_beside_the_image():
    viewer, layer = viewer_with(5, 80, 90)
    viewer.add_image(da.zeros((50, 80, 90)), contrast_limits=(0, 1))
    viewer.dims.set_point(0, 20.0)
    with pytest.raises(NotInView, match="outside"):
        current_slice(viewer, layer, "ZYX")


def test_layer_with_fewer_axes_than_the_view():
    viewer, layer = viewer_with(5, 80, 90)
    viewer.add_image(da.zeros((7, 5, 80, 90)), contrast_limits=(0, 1))
    viewer.dims.set_point((0, 1), (6.0, 2.0))
    assert current_slice(viewer, layer, "ZYX") == {"Z": (2, 3)}


def test_visible_field_is_the_canvas_in_pixels_of_the_image():
    viewer, layer = viewer_with(1000, 1000, scale=(0.5, 0.5), translate=(100.0, 0.0))
    viewer.scene.camera.center = (0.0, 300.0, 250.0)
    # 100 x 200 canvas pixels at zoom 1 are 100 x 200 world units, or 200 x 400 pixels of the image.
    field = visible_field(viewer, layer, "YX")
    assert field["Y"] == (300, 501)
    assert field["X"] == (300, 701)


def test_visible_field_ends_where_the_image_ends():
    viewer, layer = viewer_with(60, 70)
    viewer.scene.camera.center = (0.0, 0.0, 60.0)
    assert visible_field(viewer, layer, "YX") == {"Y": (0, 51), "X": (0, 70)}


def test_visible_field_of_a_stack_is_in_its_current_slice():
    viewer, layer = viewer_with(5, 60, 70)
    viewer.dims.set_point(0, 3.0)
    assert visible_field(viewer, layer, "ZYX") == {"Y": (0, 60), "X": (0, 70), "Z": (3, 4)}


def test_visible_field_of_a_pyramid_counts_pixels_of_the_finest_level():
    viewer = ViewerModel()
    levels = [da.zeros((1000 // step, 1000 // step), dtype=np.uint8) for step in (1, 2, 4)]
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 1))
    viewer.canvas.size = (100, 200)
    viewer.scene.camera.zoom = 1.0
    viewer.scene.camera.center = (0.0, 500.0, 500.0)
    assert visible_field(viewer, layer, "YX") == {"Y": (450, 551), "X": (400, 601)}


def test_no_field_is_visible_when_the_image_is_out_of_sight():
    viewer, layer = viewer_with(60, 70)
    viewer.scene.camera.center = (0.0, 500.0, 500.0)
    with pytest.raises(NotInView, match="out of sight"):
        visible_field(viewer, layer, "YX")


def test_no_visible_field_in_3d_or_in_the_grid():
    viewer, layer = viewer_with(5, 60, 70)
    viewer.canvas.grid.enabled = True
    with pytest.raises(NotInView, match="grid"):
        visible_field(viewer, layer, "ZYX")
    viewer.dims.ndisplay = 3
    with pytest.raises(NotInView, match="switch to 2D"):
        visible_field(viewer, layer, "ZYX")
