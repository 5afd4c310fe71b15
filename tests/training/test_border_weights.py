"""The U-Net's weight map: the paper's formula, and patches that equal the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.training.border_weights import border_weights, reach


def two_cells(gap, side=60):
    labels = np.zeros((side, side), np.uint16)
    labels[10:50, 5:25] = 4
    labels[10:50, 25 + gap : 45 + gap] = 9
    return labels


@pytest.mark.parametrize("gap", [1, 2, 5, 8])
def test_between_two_cells_the_formula_holds(gap):
    weights = border_weights(two_cells(gap))
    for column in range(25, 25 + gap):
        d1, d2 = sorted((column - 24, 25 + gap - column))
        assert weights[30, column] == pytest.approx(1 + 10 * math.exp(-((d1 + d2) ** 2) / 50), rel=1e-6)


def test_inside_a_cell_the_nearest_border_is_its_own():
    weights = border_weights(two_cells(3))
    # Column 22 lies 2 from its own border (24) and 6 from the other cell's (28).
    assert weights[30, 22] == pytest.approx(1 + 10 * math.exp(-((2 + 6) ** 2) / 50), rel=1e-6)


def test_one_cell_alone_weighs_one():
    labels = np.zeros((40, 40), np.uint16)
    labels[10:30, 10:30] = 1
    np.testing.assert_array_equal(border_weights(labels), 1)
    np.testing.assert_array_equal(border_weights(np.zeros((9, 9), np.uint8)), 1)


def test_strength_width_and_micrometres():
    labels = two_cells(4)
    weights = border_weights(labels, (0.5, 0.5), w0=3.0, sigma=2.0)
    assert weights[30, 26] == pytest.approx(1 + 3 * math.exp(-((1.0 + 1.5) ** 2) / 8), rel=1e-6)


def random_cells(seed, shape):
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    for number in range(1, 30):
        corner = [int(random.integers(0, side - 6)) for side in shape]
        labels[tuple(slice(at, at + int(random.integers(2, 9))) for at in corner)] = number
    return labels


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), origin=st.tuples(st.integers(0, 90), st.integers(0, 90)))
def test_a_patch_with_context_equals_the_whole(seed, origin):
    labels = random_cells(seed, (130, 130))
    whole = border_weights(labels, sigma=2.0)
    margin = reach(2.0, (1.0, 1.0))
    outer = tuple(slice(max(0, at - side), at + 30 + side) for at, side in zip(origin, margin, strict=True))
    inner = tuple(slice(at - part.start, at - part.start + 30) for at, part in zip(origin, outer, strict=True))
    crop = tuple(slice(at, at + 30) for at in origin)
    np.testing.assert_array_equal(border_weights(labels[outer], sigma=2.0)[inner], whole[crop])


def test_volumes_work_alike():
    labels = np.zeros((9, 20, 20), np.uint8)
    labels[:, :, :8] = 1
    labels[:, :, 10:] = 2
    weights = border_weights(labels, (2.0, 1.0, 1.0))
    assert weights[4, 10, 8] == pytest.approx(1 + 10 * math.exp(-9 / 50), rel=1e-6)
