"""Known answers, worked out by hand or by scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import adapted_rand_error

from napari_seamless.errors import AxesError, DatasetError
from napari_seamless.metrics import ObjectCounts, compare, count_matches, evaluate, pooled_precisions

SCORES = ("iou", "dice", "ap50", "ap75", "ap_mean")


def strip(*runs: tuple[int, int]) -> np.ndarray:
    """Return a row of pixels from (id, length) runs."""
    return np.concatenate([np.full(length, value) for value, length in runs])[None]


def test_perfect_agreement_with_other_ids():
    truth = strip((0, 3), (1, 4), (2, 5))
    predicted = strip((0, 3), (900_000, 4), (7, 5))
    scores = evaluate(predicted, truth)
    assert [scores[name] for name in SCORES] == [1.0] * 5
    assert scores["adapted_rand_error"] == 0.0
    assert (scores["n_predicted"], scores["n_truth"]) == (2, 2)


def test_worked_example():
    # Object 1 is found with 8 of 10 pixels (IoU 0.8), object 2 with 6 of 10 (IoU 0.6), and 9 is made up.
    truth = strip((1, 10), (0, 2), (2, 10), (0, 8))
    predicted = strip((5, 8), (0, 4), (6, 6), (0, 4), (9, 8))
    scores = evaluate(predicted, truth)
    assert scores["iou"] == pytest.approx(14 / 28)
    assert scores["dice"] == pytest.approx(28 / 42)
    assert scores["ap50"] == pytest.approx(2 / 3)
    assert scores["ap75"] == pytest.approx(1 / 4)
    # IoU 0.50, 0.55, 0.60: two found; 0.65 .. 0.80: one; 0.85 .. 0.95: none.
    assert scores["ap_mean"] == pytest.approx((3 * 2 / 3 + 4 * 1 / 4) / 10)


def test_iou_equal_to_the_threshold_counts():
    assert evaluate(strip((1, 1), (0, 1)), strip((1, 2)))["ap50"] == 1.0


def test_each_object_matches_once():
    # Two predicted halves both have an IoU of one half with the one true object.
    scores = evaluate(strip((1, 2), (2, 2)), strip((1, 4)))
    assert scores["ap50"] == pytest.approx(1 / 2)


def test_matching_is_as_large_as_possible():
    # At a threshold of 0.2, predicted 1 could take either true object and predicted 2 only the second.
    truth = strip((1, 4), (2, 8))
    predicted = strip((1, 8), (2, 4))
    assert count_matches(predicted, truth, 0.2).true_positives == 2


def test_merged_objects_lose_one():
    truth = strip((1, 4), (2, 4))
    assert evaluate(strip((3, 8)), truth)["ap50"] == pytest.approx(1 / 2)


def test_nothing_to_find_and_nothing_found_is_perfect():
    scores = evaluate(np.zeros((4, 4), int), np.zeros((4, 4), int))
    assert [scores[name] for name in SCORES] == [1.0] * 5
    assert scores["adapted_rand_error"] == 0.0


@pytest.mark.parametrize("swap", [False, True], ids=["only truth", "only predicted"])
def test_one_side_empty_is_worthless(swap):
    sides = [np.zeros((2, 3), int), np.array([[0, 1, 1], [2, 2, 2]])]
    scores = evaluate(*(sides[::-1] if swap else sides))
    assert [scores[name] for name in SCORES] == [0.0] * 5
    # With objects in the truth and one background segment for all of them, the Rand error is the one of a merger.
    assert scores["adapted_rand_error"] > 0


def test_mask_is_scored_by_foreground():
    truth = np.array([[0, 1, 1, 0]], bool)
    predicted = np.array([[0, 0, 1, 1]], bool)
    scores = evaluate(predicted, truth)
    assert scores["iou"] == pytest.approx(1 / 3)
    assert scores["dice"] == pytest.approx(1 / 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_rand_error_is_that_of_scikit_image(seed, n_predicted, n_truth):
    random = np.random.default_rng(seed)
    truth = random.integers(0, n_truth + 1, (12, 9))
    predicted = random.integers(0, n_predicted + 1, (12, 9))
    truth[0, :2] = 1
    expected, _, _ = adapted_rand_error(truth, predicted)
    assert evaluate(predicted, truth)["adapted_rand_error"] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_agrees_with_a_dense_table(seed):
    random = np.random.default_rng(seed)
    truth = np.repeat(random.integers(0, 5, (6, 6)), 3, axis=1)
    predicted = np.where(random.random(truth.shape) < 0.8, truth, random.integers(0, 5, truth.shape))
    ids_p, ids_t = np.unique(predicted[predicted > 0]), np.unique(truth[truth > 0])
    table = [
        [np.sum((predicted == p) & (truth == t)) / np.sum((predicted == p) | (truth == t)) for t in ids_t]
        for p in ids_p
    ]
    found = int((np.array(table).reshape(len(ids_p), len(ids_t)) >= 0.75).sum())
    expected = found / max(1, len(ids_p) + len(ids_t) - found)
    assert evaluate(predicted, truth)["ap75"] == pytest.approx(expected)


def test_pooled_precisions_are_those_of_all_images_as_one():
    # One of one object found; none of three, and one made up: 1/1 and 0/4 alone, 1/5 together.
    full = compare(strip((1, 10), (0, 5)), strip((1, 10), (0, 5)))
    poor = compare(strip((0, 20), (1, 10)), strip((1, 5), (2, 5), (3, 5), (0, 15)))
    assert pooled_precisions([full]) == {"ap50": 1.0, "ap75": 1.0, "ap_mean": 1.0}
    assert pooled_precisions([full, poor])["ap50"] == pytest.approx(1 / 5)
    assert pooled_precisions([full, poor])["ap_mean"] == pytest.approx(1 / 5)
    assert np.mean([full.scores["ap50"], poor.scores["ap50"]]) == 0.5


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20)
def test_pooling_is_scoring_side_by_side(seed):
    random = np.random.default_rng(seed)
    pairs = [[random.integers(0, 6, (7, 9)) for _ in range(2)] for _ in range(3)]
    pooled = pooled_precisions([compare(*pair) for pair in pairs])
    shifted = [[np.where(part > 0, part + 10 * index, 0) for part in pair] for index, pair in enumerate(pairs)]
    whole = evaluate(*(np.concatenate(parts) for parts in zip(*shifted, strict=True)))
    assert pooled == pytest.approx({name: whole[name] for name in pooled})


def test_thousands_of_objects_are_quick():
    truth = np.kron(np.arange(1, 10_001).reshape(100, 100), np.ones((8, 8), np.int64))
    counts = count_matches(np.roll(truth, 1, axis=0), truth)
    assert counts == ObjectCounts(10_000, 10_000, 10_000)


def test_large_ids_need_no_large_tables():
    truth = np.zeros((4, 4), np.uint64)
    truth[0, 0] = 2**40
    assert evaluate(truth, truth)["n_truth"] == 1


def test_volume():
    truth = np.zeros((3, 4, 5), np.uint16)
    truth[1:, 1:3, 2:] = 4
    assert evaluate(truth > 0, truth)["ap50"] == 1.0


def test_refuses_other_shapes():
    with pytest.raises(AxesError, match=r"one shape, not \(2, 3\) and \(3, 2\)"):
        evaluate(np.zeros((2, 3), int), np.zeros((3, 2), int))


def test_refuses_floats_and_negative_ids():
    with pytest.raises(DatasetError, match="predicted labels are float64"):
        evaluate(np.zeros((2, 2)), np.zeros((2, 2), int))
    with pytest.raises(DatasetError, match="truth labels go down to -1"):
        evaluate(np.zeros((2, 2), int), np.full((2, 2), -1))
