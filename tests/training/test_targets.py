"""Background, rim and core, by known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.metrics import evaluate
from napari_seamless.objects.instances import InstanceRule, instances_from_states
from napari_seamless.training.examples import MARKED, PAINTED
from napari_seamless.training.targets import instance_target


def test_square_has_a_rim_of_two():
    labels = np.zeros((11, 11), np.uint16)
    labels[1:10, 1:10] = 7
    target = instance_target(labels)
    expected = np.zeros((11, 11), np.uint8)
    expected[1:10, 1:10] = 1
    expected[3:8, 3:8] = 2
    np.testing.assert_array_equal(target, expected)
    assert target.dtype == np.uint8


def test_touching_objects_are_kept_apart():
    labels = np.repeat([[3] * 6 + [9] * 6], 12, axis=0)
    target = instance_target(labels)
    np.testing.assert_array_equal(target[6], [2, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2])


def test_the_edge_of_the_image_is_no_border():
    labels = np.zeros((12, 12), int)
    labels[:, :8] = 1
    np.testing.assert_array_equal(instance_target(labels)[0], [2] * 6 + [1] * 2 + [0] * 4)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_small_objects_keep_a_core(size):
    labels = np.zeros((9, 9), int)
    labels[2 : 2 + size, 2 : 2 + size] = 1
    assert (instance_target(labels) == 2).any()


def test_one_object_over_the_whole_image_is_core():
    np.testing.assert_array_equal(instance_target(np.full((5, 6), 4)), np.full((5, 6), 2))


def test_no_objects_is_background():
    assert not instance_target(np.zeros((5, 6), int)).any()


def test_a_waist_does_not_split_the_core():
    labels = np.zeros((16, 40), int)
    labels[2:14, 2:14] = labels[2:14, 26:38] = 1
    labels[6:10, 14:26] = 1  # a waist of 4 pixels would be all rim
    states = instance_target(labels)
    assert evaluate(instances_from_states(states, InstanceRule()), labels)["n_predicted"] == 1


def test_rim_is_as_thick_along_coarse_axes():
    labels = np.zeros((9, 13, 13), int)
    labels[2:7, 2:11, 2:11] = 1
    coarse = instance_target(labels, (2.0, 1.0, 1.0), rim_depth=2)
    np.testing.assert_array_equal(coarse[:, 6, 6], [0, 0, 1, 2, 2, 2, 1, 0, 0])
    np.testing.assert_array_equal(coarse[4, :, 6], [0, 0, 1, 1, 2, 2, 2, 2, 2, 1, 1, 0, 0])
    same = instance_target(labels.transpose(1, 0, 2), rim_depth=2)
    np.testing.assert_array_equal(same[:, 4, 6], [0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 1, 0, 0])


def test_rims_of_volumes_are_one_voxel():
    labels = np.zeros((7, 7, 7), int)
    labels[1:6, 1:6, 1:6] = 1
    np.testing.assert_array_equal(instance_target(labels)[3, 3], [0, 1, 2, 2, 2, 1, 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 3))
def test_rectangles_come_back_exactly(seed, dims):
    """Objects in a grid, each of another size, touching or not, are found again with every pixel."""
    random = np.random.default_rng(seed)
    labels = np.zeros((30,) * dims if dims == 2 else (20,) * dims, np.int64)
    next_id = 1
    for origin in np.ndindex((3,) * dims if dims == 2 else (2,) * dims):
        size = random.integers(5, 11, dims)
        labels[tuple(slice(10 * at, 10 * at + side) for at, side in zip(origin, size, strict=True))] = next_id
        next_id += 1
    found = instances_from_states(instance_target(labels), InstanceRule())
    scores = evaluate(found, labels)
    assert scores["n_predicted"] == scores["n_truth"]
    assert scores["ap50"] == scores["iou"] == 1.0


def test_what_lies_beyond_the_verified_pixels_is_no_border():
    labels = np.zeros((9, 20), np.uint16)
    labels[:, :10] = 3
    verified = np.zeros(labels.shape, np.uint8)
    verified[:, :10] = MARKED
    np.testing.assert_array_equal(instance_target(labels, verified=verified)[:, :10], 2)
    verified[:, 10:] = MARKED
    np.testing.assert_array_equal(instance_target(labels, verified=verified)[:, 8:10], 1)


def test_paint_ends_where_the_object_ends_but_not_along_z():
    labels = np.zeros((3, 9, 20), np.uint16)
    labels[1, :, :10] = 3
    verified = np.zeros(labels.shape, np.uint8)
    verified[1, :, :10] = PAINTED
    target = instance_target(labels, verified=verified)
    assert set(target[1, 4, 9:10]) == {1}
    assert set(target[1, 4, 2:8]) == {2}
