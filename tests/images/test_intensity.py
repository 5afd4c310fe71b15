"""Intensity statistics: the percentiles of numpy, the same for lazy and plain arrays, bounded and repeatable."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_seamless.errors import AxesError, ConfigError, EmptyImageError, NotFiniteError, PixelTypeError
from napari_seamless.images.intensity import IntensityRange, Normalization, check_finite, measure_range, normalise
from napari_seamless.images.sampling import choose_places

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"]


def noise(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(60, 20, shape).clip(0, 120).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_all_pixels_give_the_percentiles_of_numpy(dtype: str) -> None:
    data = noise((2, 13, 47, 51), dtype)
    measured = measure_range(data, Normalization(2.5, 99.1))
    for channel in range(2):
        low, high = np.percentile(data[channel].astype(np.float64), [2.5, 99.1])
        assert measured.low[channel] == pytest.approx(low, rel=1e-12)
        assert measured.high[channel] == pytest.approx(high, rel=1e-12)
    assert measured.source == f"all {13 * 47 * 51} pixels per channel"


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.float32]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=6),
        elements=st.integers(-100, 100).map(abs),
    ),
    st.floats(0, 99),
    st.floats(0.1, 1),
)
def test_any_percentile_of_any_small_image(data: np.ndarray, lower: float, step: float) -> None:
    measured = measure_range(data, Normalization(lower, lower + step))
    for channel in range(data.shape[0]):
        low, high = np.percentile(data[channel].astype(np.float64), [lower, lower + step])
        if low < high:
            assert measured.low[channel] == pytest.approx(low, abs=1e-9)
            assert measured.high[channel] == pytest.approx(high, abs=1e-9)
        else:
            assert (measured.low[channel], measured.high[channel]) == (data[channel].min(), data[channel].max())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32"])
@pytest.mark.parametrize("chunks", [(1, 5, 17, 50), (2, 3, 7, 11), -1])
def test_chunks_change_nothing(dtype: str, chunks: Any) -> None:
    data = noise((2, 13, 47, 51), dtype)
    assert measure_range(da.from_array(data, chunks=chunks), Normalization()) == measure_range(data, Normalization())


def test_a_large_image_is_sampled_within_the_bound_evenly_and_repeatably() -> None:
    # The intensity is the place: percentiles of an even sample are those of a ramp.
    ramp = np.broadcast_to(np.arange(600, dtype=np.uint16)[:, None], (600, 500))[None]
    lazy = da.from_array(ramp, chunks=(1, 20, 25))
    first = measure_range(lazy, Normalization(10, 90), max_pixels=20_000)
    assert first == measure_range(lazy, Normalization(10, 90), max_pixels=20_000)
    assert first.low[0] == pytest.approx(60, abs=25)
    assert first.high[0] == pytest.approx(540, abs=25)
    assert "of 300000 pixels per channel" in first.source
    assert int(first.source.split()[0]) <= 20_000


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=4),
    st.integers(1, 5000),
)
def test_places_lie_within_the_image_do_not_overlap_and_keep_the_bound(
    sides: list[tuple[int, int]], max_pixels: int
) -> None:
    chunks = tuple(da.core.normalize_chunks(chunk, (length,))[0] for length, chunk in sides)
    shape = tuple(length for length, _ in sides)
    places, _ = choose_places(chunks, max_pixels)
    seen = np.zeros(shape, int)
    for place in places:
        seen[place] += 1
    assert seen.max() == 1
    assert 0 < seen.sum() <= max_pixels
    if seen.size <= max_pixels:
        assert (seen == 1).all()


def test_many_small_chunks_are_not_read_one_by_one() -> None:
    places, _ = choose_places(((64,) * 40, (64,) * 40, (64,) * 40), 2**24)
    assert len(places) <= 64


def test_sparse_spots_on_black_are_not_taken_for_an_empty_image() -> None:
    data = np.zeros((1, 100, 100), np.uint8)
    data[0, 50, 50:53] = 200
    measured = measure_range(data, Normalization())
    assert (measured.low, measured.high) == ((0.0,), (200.0,))
    assert "darkest and brightest" in measured.source
    assert normalise(data, measured)[0, 50, 50] == 1


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_a_constant_image_becomes_zeros(dtype: str) -> None:
    data = np.full((2, 9, 9), 7, dtype)
    data[1] = np.arange(9)
    measured = measure_range(data, Normalization())
    scaled = normalise(data, measured)
    assert (scaled[0] == 0).all()
    assert np.isfinite(scaled).all()
    assert scaled[1].max() > 0


@pytest.mark.parametrize("dtype", TYPES)
def test_tiles_and_the_whole_are_scaled_to_the_same_bits(dtype: str) -> None:
    data = noise((3, 40, 41), dtype)
    measured = measure_range(data, Normalization())
    whole = normalise(data, measured)
    assert whole.dtype == np.float32
    parts = [normalise(np.ascontiguousarray(data[:, :, start : start + 7]), measured) for start in range(0, 41, 7)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=2).view(np.uint32), whole.view(np.uint32))


def test_scaling_is_linear_and_not_clipped() -> None:
    data = np.array([[[0, 10, 20, 30]]], np.uint16)
    scaled = normalise(data, IntensityRange((10.0,), (20.0,), "chosen"))
    np.testing.assert_array_equal(scaled, [[[-1, 0, 1, 2]]])


def test_big_endian_pixels_are_scaled_like_others() -> None:
    data = noise((1, 8, 9), ">u2")
    native = data.astype("u2")
    assert measure_range(data, Normalization()) == measure_range(native, Normalization())
    measured = measure_range(native, Normalization())
    np.testing.assert_array_equal(normalise(data, measured), normalise(native, measured))


def test_wide_integers_keep_their_differences() -> None:
    data = np.array([[2**40, 2**40 + 1, 2**40 + 2]], np.int64)
    measured = measure_range(data, Normalization(0, 100))
    np.testing.assert_array_equal(normalise(data, measured), [[0, 0.5, 1]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_counted_and_placed(bad: float) -> None:
    data = np.ones((2, 30, 40), np.float32)
    data[1, 20, 5] = data[1, 20, 6] = bad
    with pytest.raises(NotFiniteError, match="2 NaN or infinite pixels, the first at C=1, Y=20, X=5"):
        measure_range(da.from_array(data, chunks=(1, 7, 7)), Normalization(), axes="CYX")
    with pytest.raises(NotFiniteError, match=r"first at \(1, 20, 5\)"):
        measure_range(data, Normalization())


def test_check_finite_names_the_place_in_the_image() -> None:
    block = np.zeros((4, 5))
    check_finite(block, (100, 200), "YX")
    block[2, 3] = np.nan
    with pytest.raises(NotFiniteError, match="1 NaN or infinite pixels, the first at Y=102, X=203"):
        check_finite(block, (100, 200), "YX")


def test_intensities_beyond_float32_are_refused_when_they_set_the_range() -> None:
    with pytest.raises(NotFiniteError, match="channel 0 span 0 to 1e\\+300, beyond the range of float32"):
        measure_range(np.array([[0.0, 1e300]]), Normalization(0, 100))


def test_an_outlier_beyond_float32_is_refused_when_it_is_scaled() -> None:
    data = np.linspace(0, 1, 1000)[None].copy()
    data[0, 500] = 1e300
    measured = measure_range(data, Normalization())
    with pytest.raises(NotFiniteError, match="1 pixels, the first of value 1e\\+300"):
        normalise(data, measured)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        pytest.param(np.zeros((1, 0, 4)), EmptyImageError, "empty", id="empty"),
        pytest.param(np.zeros(4), AxesError, "channels first", id="one axis"),
        pytest.param(np.zeros((1, 4), complex), PixelTypeError, "complex", id="complex"),
    ],
)
def test_arrays_that_cannot_be_measured(data: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measure_range(data, Normalization())


def test_a_block_of_other_channels_is_refused() -> None:
    with pytest.raises(AxesError, match="2 channels and an intensity range of 1"):
        normalise(np.zeros((2, 3, 3)), IntensityRange((0.0,), (1.0,), "chosen"))


@pytest.mark.parametrize("percentiles", [(5, 5), (-1, 99), (1, 101), (99, 1)])
def test_percentiles_must_make_sense(percentiles: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="percentiles"):
        Normalization(*percentiles)
