"""The whole-array reference, by known answers."""

from __future__ import annotations

import numpy as np
import pytest

from napari_seamless.errors import AxesError, ConfigError
from napari_seamless.objects.instances import (
    InstanceRule,
    grow_labels,
    instances_from_states,
    label_cores,
    states_from_probabilities,
)


def test_states_need_foreground_and_core():
    #                          background, rim wins, core wins, core alone too weak, exactly at the threshold
    background = np.array([[0.8, 0.2, 0.1, 0.25, 0.5]])
    rim = np.array([[0.1, 0.6, 0.2, 0.30, 0.0]])
    core = np.array([[0.1, 0.2, 0.7, 0.45, 0.5]])
    states = states_from_probabilities(np.stack([background, rim, core]).astype(np.float32), InstanceRule())
    assert states.dtype == np.uint8
    np.testing.assert_array_equal(states, [[0, 1, 2, 1, 0]])


def test_states_follow_the_thresholds():
    probabilities = np.array([0.6, 0.1, 0.3], np.float32).reshape(3, 1, 1)
    assert states_from_probabilities(probabilities, InstanceRule(0.3, 0.2))[0, 0] == 2
    assert states_from_probabilities(probabilities, InstanceRule(0.3, 0.4))[0, 0] == 1


def test_rims_keep_touching_objects_apart():
    states = np.array([[2, 2, 1, 1, 2, 2]] * 3, np.uint8)
    labels = instances_from_states(states, InstanceRule(min_size=1))
    np.testing.assert_array_equal(labels, [[1, 1, 1, 2, 2, 2]] * 3)
    assert labels.dtype == np.uint32


def test_cores_that_touch_at_a_corner_are_two():
    states = np.array([[2, 0], [0, 2]], np.uint8)
    np.testing.assert_array_equal(instances_from_states(states, InstanceRule(min_size=1)), [[1, 0], [0, 2]])


def test_pixel_between_two_goes_to_the_first():
    states = np.array([[2, 1, 2]], np.uint8)
    np.testing.assert_array_equal(instances_from_states(states, InstanceRule(min_size=1)), [[1, 1, 2]])


def test_ids_follow_the_first_core_pixel_and_not_the_rim():
    states = np.array([[1, 0, 0, 2], [2, 0, 0, 0]], np.uint8)
    np.testing.assert_array_equal(instances_from_states(states, InstanceRule(min_size=1)), [[2, 0, 0, 1], [2, 0, 0, 0]])


def test_small_objects_are_dropped_and_ids_closed_up():
    states = np.array([[2, 0, 2, 2, 1, 0, 2, 2, 2]], np.uint8)
    labels = instances_from_states(states, InstanceRule(min_size=3))
    np.testing.assert_array_equal(labels, [[0, 0, 1, 1, 1, 0, 2, 2, 2]])


def test_growth_ends_after_its_steps():
    states = np.array([[2, 1, 1, 1, 1, 1]], np.uint8)
    labels = instances_from_states(states, InstanceRule(grow_steps=3, min_size=1))
    np.testing.assert_array_equal(labels, [[1, 1, 1, 1, 0, 0]])


def test_rim_without_core_is_no_object():
    assert not instances_from_states(np.ones((9, 9), np.uint8), InstanceRule()).any()


def test_growth_alternates_faces_and_corners():
    labels = np.zeros((7, 7), np.uint32)
    labels[3, 3] = 1
    grown = grow_labels(labels, np.ones(labels.shape, bool), 2)
    expected = np.zeros((7, 7), np.uint32)
    expected[2:5, 1:6] = expected[1:6, 2:5] = 1
    np.testing.assert_array_equal(grown, expected)


def test_growth_keeps_to_the_foreground():
    labels = np.array([[1, 0, 0, 0]], np.uint32)
    np.testing.assert_array_equal(grow_labels(labels, np.array([[1, 1, 0, 1]], bool), 9), [[1, 1, 0, 0]])


def test_first_pixels_are_flat_indices_in_order():
    states = np.array([[0, 2, 0], [2, 0, 2]], np.uint8)
    labels, first = label_cores(states)
    np.testing.assert_array_equal(first, [1, 3, 5])
    np.testing.assert_array_equal(labels, [[0, 1, 0], [2, 0, 3]])


def test_volume_joins_over_faces():
    states = np.zeros((2, 2, 2), np.uint8)
    states[0, 0, 0] = states[1, 0, 0] = states[1, 1, 1] = 2
    labels = instances_from_states(states, InstanceRule(min_size=1))
    assert labels[0, 0, 0] == labels[1, 0, 0] == 1
    assert labels[1, 1, 1] == 2


def test_refuses_what_is_not_three_probabilities():
    with pytest.raises(AxesError, match="3 channels"):
        states_from_probabilities(np.zeros((2, 4, 4), np.float32), InstanceRule())
    with pytest.raises(AxesError, match="2 or 3 spatial dimensions, not 1"):
        instances_from_states(np.zeros(4, np.uint8), InstanceRule())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"foreground_threshold": 0.0}, "foreground_threshold must lie between 0 and 1, not 0.0"),
        ({"core_threshold": 1.0}, "core_threshold"),
        ({"grow_steps": -1}, "grow_steps must be a whole number of at least 0, not -1"),
        ({"min_size": 2.5}, "min_size"),
    ],
)
def test_rule_refuses_nonsense(values, message):
    with pytest.raises(ConfigError, match=message):
        InstanceRule(**values)
