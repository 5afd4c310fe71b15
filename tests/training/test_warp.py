"""Rotation, scaling and elastic deformation: one map, and image and labels move alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_seamless.training.augmentation import NO_AUGMENTATION
from napari_seamless.training.warp import ELASTIC_SIGMA, Warp, _rotation, draw_warp, nearest_index, sample_linear

NOTHING = (0, 0)


def draws(options, size=(192, 192), voxels=None, n=400):
    random = np.random.default_rng(0)
    return [draw_warp(size, voxels, options, random) for _ in range(n)]


def test_nothing_asked_nothing_moved():
    assert draws(NO_AUGMENTATION, n=20) == [None] * 20


def test_without_any_change_a_patch_is_its_place():
    coordinates = Warp(np.eye(2), None).coordinates((10.5, 20.0), (4, 5), (1, 0))
    np.testing.assert_allclose(coordinates[0][:, 0], [8, 9, 10, 11, 12, 13])
    np.testing.assert_allclose(coordinates[1][0], [18, 19, 20, 21, 22])


def test_a_quarter_turn_turns_the_pixels():
    pixels = np.random.default_rng(0).random((1, 8, 8), np.float32)
    coordinates = Warp(_rotation(np.pi / 2, np.ones(2)), None).coordinates((3.5, 3.5), (8, 8), NOTHING)
    np.testing.assert_allclose(sample_linear(pixels, coordinates)[0], np.rot90(pixels[0], -1), atol=1e-5)


def test_turning_an_anisotropic_plane_keeps_lengths_in_micrometres():
    matrix = _rotation(0.7, np.array([3.0, 1.0]))
    sides = np.diag([3.0, 1.0])
    in_micrometres = sides @ matrix @ np.linalg.inv(sides)
    np.testing.assert_allclose(in_micrometres @ in_micrometres.T, np.eye(2), atol=1e-12)


def test_half_of_the_patches_are_deformed_as_strongly_as_in_the_paper():
    warps = draws(replace(NO_AUGMENTATION, elastic=1.0))
    moved = [warp for warp in warps if warp is not None]
    assert 0.4 < len(moved) / len(warps) < 0.6
    at_nodes = np.stack([warp.displacements for warp in moved])
    assert at_nodes.shape[1:] == (2, 3, 3)
    assert at_nodes.std() == pytest.approx(ELASTIC_SIGMA[2], rel=0.05)
    coordinates = moved[0].coordinates((95.5, 95.5), (192, 192), NOTHING)
    # The displacement at a corner of the patch is that of the grid's corner.
    np.testing.assert_allclose(coordinates[:, 0, 0], moved[0].displacements[:, 0, 0], atol=1e-4)


def test_the_deformation_is_smooth():
    (moved, *_) = [warp for warp in draws(replace(NO_AUGMENTATION, elastic=1.0)) if warp is not None]
    coordinates = moved.coordinates((95.5, 95.5), (192, 192), (5, 5))
    steps = np.diff(coordinates[0][5:-5], axis=0)
    assert np.abs(np.diff(steps, axis=0)).max() < 0.02


def test_small_patches_are_not_folded():
    for warp in draws(replace(NO_AUGMENTATION, elastic=1.0), (32, 32)):
        if warp is not None:
            assert (np.diff(warp.coordinates((15.5, 15.5), (32, 32), NOTHING)[0], axis=0) > 0).mean() > 0.95


def test_volumes_get_a_grid_of_32_voxels_and_less_displacement_along_coarse_axes():
    warps = draws(replace(NO_AUGMENTATION, elastic=1.0), (16, 64, 96), (2.0, 0.5, 0.5), n=300)
    displacements = np.stack([warp.displacements for warp in warps if warp is not None])
    assert displacements.shape[1:] == (3, 3, 3, 4)
    assert displacements[:, 0].std() == pytest.approx(ELASTIC_SIGMA[3] / 4, rel=0.05)
    assert displacements[:, 1].std() == pytest.approx(ELASTIC_SIGMA[3], rel=0.05)


def test_scaling_keeps_to_its_limit():
    scales = [np.diag(warp.matrix) for warp in draws(replace(NO_AUGMENTATION, scaling=2.0)) if warp is not None]
    assert 1.5 < np.max(scales) < 2 * np.exp(0.07)
    assert 0.5 * np.exp(-0.07) < np.min(scales) < 0.7


def test_labels_and_image_move_alike():
    # An image that is its labels: after any warp the nearest label is the interpolated intensity, but for its rounding.
    ramp = np.tile(np.arange(120, dtype=np.float32), (120, 1))
    options = replace(NO_AUGMENTATION, elastic=1.0, rotation=180.0, scaling=1.5)
    for warp in draws(options, n=20):
        if warp is None:
            continue
        coordinates = warp.coordinates((60, 60), (40, 40), NOTHING)
        labels = ramp.astype(int)[nearest_index(coordinates, ramp.shape)]
        assert np.abs(labels - sample_linear(ramp[None], coordinates)[0]).max() <= 0.5 + 1e-3
