"""What an example takes, and what counts in it."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

import napari_seamless as ns
from napari_seamless.errors import DatasetError
from napari_seamless.training.examples import MARKED, PAINTED
from napari_seamless.training.planes import annotated_planes

IMAGE = np.zeros((4, 100, 90), np.uint8)
LABELS = np.zeros(IMAGE.shape, np.uint16)
EVERYTHING = tuple((0, side) for side in IMAGE.shape)


def test_an_array_is_taken_with_its_axes():
    one = ns.Example(IMAGE, LABELS, axes="TYX")
    assert (one.image.axes, one.label_axes, one.spatial_dims) == ("TYX", "TYX", 2)
    assert ns.Example(IMAGE, LABELS).image.axes == "ZYX"


def test_channels_have_no_labels():
    one = ns.Example(np.zeros((2, 100, 90), np.uint8), LABELS[0], axes="CYX")
    assert one.label_axes == "YX"


def test_everything_counts_by_default():
    assert (ns.Example(IMAGE, LABELS).read_verified(EVERYTHING) == MARKED).all()


def test_boxes_and_exclusions_are_obeyed():
    verified = np.ones(IMAGE.shape, bool)
    one = ns.Example(IMAGE, LABELS, verified, box=((1, 2), (10, 50), (0, 90)), excluded=(((0, 4), (20, 30), (0, 90)),))
    expected = np.zeros(IMAGE.shape, bool)
    expected[1, 10:50] = True
    expected[:, 20:30] = False
    np.testing.assert_array_equal(one.read_verified(EVERYTHING) > 0, expected)


def test_paint_is_told_from_marks():
    flags = np.zeros(IMAGE.shape, np.uint8)
    flags[0, 0, :3] = (1, 2, 3)
    one = ns.Example(IMAGE, LABELS, flags, painted_value=1)
    assert one.read_verified(EVERYTHING)[0, 0, :4].tolist() == [PAINTED, MARKED, MARKED, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:, :50]}, r"are \(4, 50, 90\) and the image is \(4, 100, 90\) along ZYX"),
        ({"labels": LABELS.astype(float)}, "labels are whole numbers, but those of image are float64"),
        ({"labels": np.full(IMAGE.shape, -3)}, "go down to -3"),
        ({"verified": np.ones((4, 100), bool)}, r"that of image is \(4, 100\)"),
        ({"verified": np.ones(IMAGE.shape)}, "is float64: save it as 8-bit"),
    ],
    ids=["shape", "float", "negative", "mask shape", "mask type"],
)
def test_what_does_not_fit_is_refused(changes, message):
    values = {"image": IMAGE, "labels": LABELS, **changes}
    with pytest.raises(DatasetError, match=message):
        ns.Example(**values)


def test_a_plane_network_sees_the_verified_planes_of_a_volume():
    verified = np.zeros(IMAGE.shape, bool)
    verified[1, 5:30, 7:20] = True
    verified[1, 80:99, 70:90] = True
    verified[3, 50, 60] = True
    planes = annotated_planes(ns.Example(IMAGE, LABELS, verified), 2)
    assert [(plane.plane, plane.places) for plane in planes] == [
        ((1,), (((5, 30), (7, 20)), ((80, 99), (70, 90)))),
        ((3,), (((50, 51), (60, 61)),)),
    ]
    (volume,) = annotated_planes(ns.Example(IMAGE, LABELS, verified), 3)
    assert volume.plane == ()


def test_a_large_mask_is_looked_through_in_blocks(tmp_path):
    shape = (5000, 4100)
    verified = zarr.create_array(tmp_path / "verified", shape=shape, chunks=(256, 256), dtype="u1", fill_value=0)
    labels = zarr.create_array(tmp_path / "labels", shape=shape, chunks=(256, 256), dtype="u4", fill_value=0)
    verified[2000:2100, 2040:2060] = 1  # across the border of two blocks
    verified[4990:5000, 4090:4100] = 1
    (plane,) = annotated_planes(ns.Example(np.zeros(shape, np.uint8), labels, verified), 2)
    assert plane.places == (((2000, 2100), (2040, 2060)), ((4990, 5000), (4090, 4100)))
