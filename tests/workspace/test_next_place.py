"""Which fields and slices are suggested, on maps whose answer is known; and what holds for any map."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.errors import AxesError, Cancelled
from napari_seamless.images.boxes import as_slices, box_shape, intersection, whole
from napari_seamless.workspace import next_place
from napari_seamless.workspace.next_place import Ranking, Suggestion, rank_fields, rank_slices


class OnDisk:
    """An array that can be read in blocks only; knows the largest one."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.shape, self.largest = array, array.shape, 0

    def __getitem__(self, key: Any) -> np.ndarray:
        block = self._array[key]
        self.largest = max(self.largest, block.size)
        return block


def places(suggestions: Any) -> list[tuple[tuple[int, int], ...]]:
    return [suggestion.box for suggestion in suggestions]


def test_fields_come_by_their_mean_uncertainty() -> None:
    uncertainty = np.zeros((8, 24))
    uncertainty[:, 16:] = 0.5
    uncertainty[:, :8] = 0.25
    found = list(rank_fields(uncertainty, None, "YX", side=8))
    assert found == [
        Suggestion(((0, 8), (16, 24)), 0.5, 0.0),
        Suggestion(((0, 8), (0, 8)), 0.25, 0.0),
        Suggestion(((0, 8), (8, 16)), 0.0, 0.0),
    ]


def test_a_field_lies_where_most_is_uncertain_and_not_on_a_fixed_grid() -> None:
    uncertainty = np.zeros((40, 50))
    uncertainty[10:18, 30:38] = 1.0
    first = next(rank_fields(uncertainty, None, "YX", side=8))
    assert first == Suggestion(((10, 18), (30, 38)), 1.0, 0.0)


def test_the_far_end_is_reached_whatever_the_length() -> None:
    uncertainty = np.zeros((19, 23))
    uncertainty[18, 22] = 1.0
    first = next(rank_fields(uncertainty, None, "YX", side=8))
    assert first.box == ((11, 19), (15, 23))
    assert first.uncertainty == pytest.approx(1 / 64)


def test_a_small_image_is_one_field() -> None:
    assert places(rank_fields(np.ones((5, 7)), None, "YX")) == [((0, 5), (0, 7))]
    assert places(rank_fields(np.ones((5, 300)), None, "YX")) == [((0, 5), (0, 256))]


def test_only_what_is_not_verified_counts() -> None:
    uncertainty = np.zeros((8, 16))
    uncertainty[:, :8] = 0.5
    uncertainty[:4, :8] = 0.9
    uncertainty[:, 8:] = 0.6
    verified = np.zeros((8, 16), np.uint8)
    verified[:4, :8] = 2
    found = list(rank_fields(uncertainty, verified, "YX", side=8))
    assert found == [Suggestion(((0, 8), (8, 16)), 0.6, 0.0), Suggestion(((0, 8), (0, 8)), 0.5, 0.5)]


def test_what_is_mostly_verified_is_left_out() -> None:
    verified = np.zeros((8, 16), bool)
    verified[:5, :8] = True
    uncertainty = np.where(verified, 0.0, 1.0)
    assert all(box[1][0] >= 1 for box in places(rank_fields(uncertainty, verified, "YX", side=8)))
    assert places(rank_fields(np.ones((8, 16)), np.ones((8, 16)), "YX", side=8)) == []
    generous = list(rank_fields(uncertainty, verified, "YX", side=8, most_verified=1.0))
    assert [suggestion.verified for suggestion in generous] == [0.625, 0.0]


def test_equal_fields_come_in_the_order_of_their_places() -> None:
    uncertainty = np.full((16, 16), 0.3, np.float16)
    expected = [((0, 8), (0, 8)), ((0, 8), (8, 16)), ((8, 16), (0, 8)), ((8, 16), (8, 16))]
    assert places(rank_fields(uncertainty, None, "YX", side=8)) == expected


def test_the_same_place_in_a_neighbouring_plane_waits() -> None:
    uncertainty = np.zeros((5, 8, 8))
    uncertainty[:, :, :] = np.array([0.1, 0.7, 0.9, 0.8, 0.2])[:, None, None]
    order = [box[0][0] for box in places(rank_fields(uncertainty, None, "ZYX", side=8))]
    assert order == [2, 4, 0, 3, 1]


def test_what_lies_beside_a_verified_plane_waits_too() -> None:
    uncertainty = np.broadcast_to(np.array([0.1, 0.7, 0.9, 0.8, 0.2])[:, None, None], (5, 8, 8))
    verified = np.zeros((5, 8, 8), np.uint8)
    verified[2] = 2
    order = [box[0][0] for box in places(rank_fields(uncertainty, verified, "ZYX", side=8))]
    assert order == [4, 0, 3, 1]


def test_time_and_depth_are_both_planes() -> None:
    uncertainty = np.zeros((2, 3, 9, 9))
    uncertainty[1, 2, 1:9, 1:9] = 1.0
    assert next(rank_fields(uncertainty, None, "TZYX", side=8)).box == ((1, 2), (2, 3), (1, 9), (1, 9))


def test_slices_come_by_what_is_left_of_them() -> None:
    uncertainty = np.zeros((6, 4, 6))
    uncertainty[:] = np.array([0.5, 0.0, 0.8, 0.1, 0.6, 0.2])[:, None, None]
    verified = np.zeros(uncertainty.shape, bool)
    verified[2] = True
    found = list(rank_slices(uncertainty, verified, "ZYX"))
    assert [suggestion.box[0][0] for suggestion in found] == [4, 0, 5, 3, 1]  # 5, 3 and 1 lie beside others
    assert found[0] == Suggestion(((4, 5), (0, 4), (0, 6)), pytest.approx(0.6), 0.0)


def test_suggestions_of_before_are_not_repeated() -> None:
    uncertainty = np.random.default_rng(0).random((3, 30, 40))
    ranking = Ranking(uncertainty, "ZYX", 8)
    at_once = places(ranking.suggest(None))
    one_by_one: list[Any] = []
    while (found := next(ranking.suggest(None, skip=one_by_one), None)) is not None:
        one_by_one.append(found.box)
    assert one_by_one == at_once
    assert len(at_once) >= 3 * 4


def test_a_ranking_is_asked_again_after_more_is_verified() -> None:
    uncertainty = np.random.default_rng(1).random((2, 50, 60)).astype(np.float16)
    verified = np.zeros(uncertainty.shape, np.uint8)
    ranking = Ranking(uncertainty, "ZYX", 16)
    first = next(ranking.suggest(verified))
    verified[as_slices(first.box)] = 3
    boxes = (first.box, ((0, 1), (0, 20), (3, 9)))
    assert list(ranking.suggest(verified, within=boxes)) == list(rank_fields(uncertainty, verified, "ZYX", side=16))
    assert first not in list(ranking.suggest(verified, within=boxes))


def test_large_maps_are_read_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_place, "BLOCK_SIDE", 16)
    monkeypatch.setattr(next_place, "_SMALL_BLOCK", 12)
    values = np.random.default_rng(2).random((3, 50, 60))
    flags = (np.random.default_rng(3).random(values.shape) < 0.3).astype(np.uint8)
    uncertainty, verified = OnDisk(values), OnDisk(flags)
    in_parts = list(rank_fields(uncertainty, verified, "ZYX", side=20))
    assert uncertainty.largest <= 16 * 16
    assert verified.largest <= 12 * 12
    monkeypatch.undo()
    assert in_parts == list(rank_fields(values, flags, "ZYX", side=20))


def test_undefined_values_do_not_spread() -> None:
    uncertainty = np.zeros((8, 24))
    uncertainty[0, 0] = np.nan
    uncertainty[:, 16:] = 0.5
    assert next(rank_fields(uncertainty, None, "YX", side=8)).box == ((0, 8), (16, 24))


def test_axes_must_fit() -> None:
    with pytest.raises(AxesError, match="one axis for each length"):
        Ranking(np.zeros((4, 4, 4)), "YX")
    with pytest.raises(AxesError, match="Y and X last"):
        Ranking(np.zeros((4, 4, 4)), "YXZ")


def test_it_can_be_stopped() -> None:
    with pytest.raises(Cancelled):
        Ranking(np.zeros((4, 4)), "YX", should_stop=lambda: True)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 14), st.integers(1, 14)),
    side=st.integers(1, 20),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_no_two_overlap_and_none_is_mostly_verified(
    shape: tuple[int, int, int], side: int, share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    uncertainty, verified = random.random(shape), random.random(shape) < share
    found = list(rank_fields(uncertainty, verified, "ZYX", side=side))
    assert not any(intersection(one.box, other.box) for one, other in combinations(found, 2))
    for suggestion in found:
        flags, values = verified[as_slices(suggestion.box)], uncertainty[as_slices(suggestion.box)]
        assert box_shape(suggestion.box) == (1, min(side, shape[1]), min(side, shape[2]))
        assert intersection(suggestion.box, whole(shape)) == suggestion.box
        assert suggestion.verified == pytest.approx(flags.mean())
        assert flags.mean() <= 0.5
        assert suggestion.uncertainty == pytest.approx(values[~flags].mean(), abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(st.integers(1, 30), st.integers(1, 30)), side=st.integers(1, 12), seed=st.integers(0, 1000))
def test_the_first_is_the_best_there_is(shape: tuple[int, int], side: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    uncertainty, verified = random.random(shape), random.random(shape) < 0.3
    sides = [min(side, length) for length in shape]
    means = []
    for corner in product(*(positions(length, one) for length, one in zip(shape, sides, strict=True))):
        window = tuple(slice(start, start + one) for start, one in zip(corner, sides, strict=True))
        if verified[window].mean() <= 0.5:
            means.append(uncertainty[window][~verified[window]].mean())
    found = list(rank_fields(uncertainty, verified, "YX", side=side))
    assert bool(found) == bool(means)
    if found:
        assert found[0].uncertainty == pytest.approx(max(means), abs=1e-8)
        assert [one.uncertainty for one in found] == sorted((one.uncertainty for one in found), reverse=True)


def positions(length: int, side: int) -> list[int]:
    """Every quarter of a side, and the far end."""
    return sorted({*range(0, length - side + 1, max(1, side // 4)), length - side})
