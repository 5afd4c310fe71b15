"""What layers say about images, and where labels lie."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels

from napari_seamless.errors import AxesError
from napari_seamless.viewer.layers import (
    axes_choices,
    labels_axes,
    labels_placement,
    source_of,
    voxel_size_of,
)


def image_layer(*shape: int, **settings: object) -> Image:
    return Image(da.zeros(shape, dtype=np.uint8), **settings)


@pytest.mark.parametrize(
    ("shape", "labels", "first"),
    [
        pytest.param((8, 9), None, "YX", id="flat"),
        pytest.param((5, 8, 9), None, "ZYX", id="stack"),
        pytest.param((5, 6, 8, 9), None, "TZYX", id="stack over time"),
        pytest.param((2, 3, 5, 8, 9), None, "TCZYX", id="everything"),
        pytest.param((5, 8, 9), ("time", "y", "x"), "TYX", id="named time"),
        pytest.param((5, 8, 9), ("C", "Y", "X"), "CYX", id="named channel, capitals"),
        pytest.param((4, 5, 8, 9), ("z", "c", "y", "x"), "ZCYX", id="channel after z"),
        pytest.param((5, 8, 9), ("x", "y", "z"), "ZYX", id="names in an order that labels could not keep"),
        pytest.param((5, 8, 9), ("depth", "q", "x"), "ZYX", id="unknown name"),
    ],
)
def test_axes_are_guessed_from_names_then_from_their_number(shape, labels, first):
    assert axes_choices(image_layer(*shape, axis_labels=labels))[0] == first


def test_colour_layers_offer_no_channel_axis():
    layer = Image(np.zeros((5, 8, 9, 3), np.uint8), rgb=True)
    assert axes_choices(layer) == ("ZYX", "TYX")


def test_too_many_axes_are_refused():
    with pytest.raises(AxesError, match=r"layer 'six' has 6 axes; images have two \(YX\) to five"):
        axes_choices(image_layer(1, 1, 1, 1, 8, 9, name="six"))


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        pytest.param((2.0, 0.5, 0.25), ("micrometer",) * 3, (2.0, 0.5, 0.25), id="micrometres"),
        pytest.param((2000.0, 500.0, 500.0), ("nanometer",) * 3, (2.0, 0.5, 0.5), id="nanometres"),
        pytest.param((2.0, -0.5, 0.5), ("micrometer",) * 3, (2.0, 0.5, 0.5), id="mirrored"),
        pytest.param((2.0, 0.5, 0.5), None, None, id="pixels"),
    ],
)
def test_voxel_size_comes_from_scale_and_units(scale, units, expected):
    found = voxel_size_of(image_layer(4, 8, 9, scale=scale, units=units), "ZYX")
    assert found == (pytest.approx(expected) if expected else None)


def test_time_has_no_part_in_the_voxel_size():
    layer = image_layer(3, 8, 9, scale=(30.0, 0.5, 0.5), units=("second", "micrometer", "micrometer"))
    assert voxel_size_of(layer, "TYX") == (0.5, 0.5)


def test_source_of_a_pyramid_is_its_finest_level():
    fine = np.arange(64, dtype=np.uint8).reshape(8, 8)
    source = source_of([Image([fine, fine[::2, ::2]], multiscale=True)], "YX")
    assert source.sizes == {"Y": 8, "X": 8}
    np.testing.assert_array_equal(source.image().data.compute(), fine)


def test_layers_of_one_file_become_channels():
    planes = np.arange(2 * 6 * 7, dtype=np.uint16).reshape(2, 6, 7)
    source = source_of([Image(planes[0], name="dapi"), Image(planes[1], name="gfp")], "YX")
    image = source.image()
    assert image.axes == "CYX"
    assert image.channel_names == ("dapi", "gfp")
    assert source.sizes == {"C": 2, "Y": 6, "X": 7}
    np.testing.assert_array_equal(image.data.compute(), planes)


def test_source_reads_nothing():
    def read(block_id: object = None) -> np.ndarray:
        raise AssertionError("pixels were read")

    layer = image_layer(4, 8, 9, contrast_limits=(0, 1))
    lazy = da.map_blocks(read, chunks=((4,), (8,), (9,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    source = source_of([layer], "ZYX")
    assert type(source)(arrays=(lazy,), axes="ZYX").image().shape == (4, 8, 9)


@pytest.mark.parametrize(
    ("axes", "expected"),
    [("YX", "YX"), ("YXS", "YX"), ("CYX", "YX"), ("CZYX", "ZYX"), ("TCYX", "TCYX"), ("ZCYX", "ZCYX")],
)
def test_channel_axis_goes_unless_another_axis_precedes_it(axes, expected):
    assert labels_axes(axes) == expected


finite = st.floats(0.1, 10.0)


@settings(max_examples=25)
@given(
    scale=st.tuples(finite, finite, finite),
    translate=st.tuples(finite, finite, finite),
    start=st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 6)),
    angle=st.floats(-90.0, 90.0),
    shear=st.floats(-1.0, 1.0),
)
def test_labels_of_a_region_lie_over_the_same_pixels_of_the_image(scale, translate, start, angle, shear):
    turned = np.eye(3)
    turned[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    layer = image_layer(4, 8, 9, scale=scale, translate=translate, rotate=turned, shear=(0.0, 0.0, shear))
    region = {axis: (first, first + 1) for axis, first in zip("ZYX", start, strict=True)}
    labels = Labels(np.zeros((1, 1, 1), np.uint8), **labels_placement(layer, "ZYX", region, (4, 8, 9)))
    for corner in ((0, 0, 0), (0.5, 0.5, 0.5), (0, -0.5, 0.5)):
        expected = layer.data_to_world(np.add(start, corner))
        np.testing.assert_allclose(labels.data_to_world(corner), expected, atol=1e-6)


def test_affine_of_the_image_is_kept():
    affine = np.array([[0.0, 1.0, 5.0], [-1.0, 0.0, 6.0], [0.0, 0.0, 1.0]])
    layer = image_layer(8, 9, affine=affine)
    labels = Labels(np.zeros((2, 2), np.uint8), **labels_placement(layer, "YX", {"Y": (3, 5), "X": (4, 6)}, (8, 9)))
    np.testing.assert_allclose(labels.data_to_world((1, 1)), layer.data_to_world((4, 5)))


def test_first_channel_axis_is_dropped_from_the_placement():
    layer = image_layer(2, 4, 8, 9, scale=(1, 2, 0.5, 0.5), axis_labels=("c", "z", "y", "x"))
    placement = labels_placement(layer, "CZYX", {"Z": (1, 2)}, (2, 4, 8, 9))
    np.testing.assert_allclose(placement["scale"], (2, 0.5, 0.5))
    np.testing.assert_allclose(placement["translate"], (2, 0, 0))
    assert placement["axis_labels"] == ["z", "y", "x"]


def test_one_label_image_lies_under_all_channels_of_a_movie():
    layer = image_layer(5, 3, 8, 9)
    labels = Labels(np.zeros((5, 1, 8, 9), np.uint8), **labels_placement(layer, "TCYX", {}, (5, 3, 8, 9)))
    for channel in range(3):
        assert np.round(labels.world_to_data((4, channel, 2, 3))).tolist() == [4, 0, 2, 3]
