"""Pixels between objects weigh more."""

from __future__ import annotations

import numpy as np
import pytest

from napari_seamless.training.resample import resample_linear, resample_nearest
from napari_seamless.training.targets import CONTACT_WEIGHT, contact_weights


def heavy(labels):
    weights = contact_weights(np.asarray(labels))
    assert set(np.unique(weights)) <= {1.0, CONTACT_WEIGHT}
    return (weights == CONTACT_WEIGHT).astype(int)


def test_touching_objects():
    np.testing.assert_array_equal(heavy([[1, 1, 1, 1, 2, 2, 2, 2]]), [[0, 0, 1, 1, 1, 1, 0, 0]])


def test_a_narrow_gap_counts_and_a_wide_one_does_not():
    np.testing.assert_array_equal(heavy([[1, 1, 1, 0, 0, 2, 2, 2]]), [[0, 0, 0, 1, 1, 0, 0, 0]])
    assert not heavy([[1, 1, 0, 0, 0, 0, 2, 2]]).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.int64])
def test_a_single_object_weighs_as_the_background(dtype):
    labels = np.zeros((9, 9), dtype)
    labels[2:7, 2:7] = np.iinfo(dtype).max if dtype == np.uint8 else 300
    assert not heavy(labels).any()


def test_weights_of_a_crop_are_those_of_the_image():
    labels = np.kron(np.random.default_rng(0).integers(0, 5, (8, 8)), np.ones((3, 3), np.int64))
    whole = contact_weights(labels)
    np.testing.assert_array_equal(contact_weights(labels[3:20, 5:22])[2:-2, 2:-2], whole[5:18, 7:20])


def test_volume():
    labels = np.zeros((4, 5, 5), np.uint16)
    labels[:2], labels[2:] = 1, 2
    assert heavy(labels).all()


def test_linear_resampling_keeps_a_ramp():
    ramp = np.arange(8, dtype=np.float32)[None, :, None].repeat(3, axis=2)
    larger = resample_linear(ramp, (16, 3))
    np.testing.assert_allclose(larger[0, 1:-1, 0], np.arange(1, 15) / 2 - 0.25, rtol=1e-6)
    np.testing.assert_array_equal(larger[0, [0, -1], 0], [0, 7])


def test_resampling_to_the_same_size_changes_nothing():
    pixels = np.random.default_rng(0).random((2, 5, 6), np.float32)
    np.testing.assert_array_equal(resample_linear(pixels, (5, 6)), pixels)
    np.testing.assert_array_equal(resample_nearest(pixels[0], (5, 6)), pixels[0])


def test_nearest_resampling_repeats_and_skips():
    labels = np.array([[1, 2, 3, 4]])
    np.testing.assert_array_equal(resample_nearest(labels, (1, 8)), [[1, 1, 2, 2, 3, 3, 4, 4]])
    np.testing.assert_array_equal(resample_nearest(labels, (1, 2)), [[2, 4]])


def test_a_single_pixel_can_be_enlarged():
    np.testing.assert_array_equal(resample_linear(np.full((1, 1, 1), 5, np.float32), (3, 2)), np.full((1, 3, 2), 5))
