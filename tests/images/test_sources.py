"""Slicing a source gives what slicing an array gives, and reads no more than the span asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_seamless.errors import FileReadError
from napari_seamless.images.blocks import Box
from napari_seamless.images.sources import Pixelwise, Source, cells, in_order, lazy

SHAPE = (5, 7, 6)


class ArraySource(Source):
    """A source over an array, which notes what was read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.path = Path("array.tif")
        self.shape = array.shape
        self.dtype = array.dtype
        self.chunks = (1,) * array.ndim
        self.boxes: list[Box] = []

    def read(self, box: Box) -> np.ndarray:
        self.boxes.append(box)
        assert all(0 <= span.start < span.stop <= length for span, length in zip(box, self.shape, strict=True))
        return self.array[box]


def array() -> np.ndarray:
    return np.arange(np.prod(SHAPE)).reshape(SHAPE)


@given(hnp.basic_indices(SHAPE, allow_ellipsis=True))
def test_any_basic_index(index: Any) -> None:
    data = array()
    np.testing.assert_array_equal(ArraySource(data)[index], data[index])


@given(st.lists(st.integers(-7, 6), max_size=9))
def test_lists_select_rows(rows: list[int]) -> None:
    data = array()
    np.testing.assert_array_equal(ArraySource(data)[1:4, rows, 2], data[1:4][:, np.array(rows, int), 2])


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=6),
    st.lists(st.integers(0, 5), min_size=1, max_size=6),
)
def test_lists_of_two_axes_cross(planes: list[int], columns: list[int]) -> None:
    data = array()
    expected = data[np.ix_(planes, range(7), columns)]
    np.testing.assert_array_equal(ArraySource(data)[planes, :, columns], expected)
    np.testing.assert_array_equal(lazy(ArraySource(data))[planes][:, :, columns], expected)


def test_only_the_span_is_read() -> None:
    source = ArraySource(array())
    lazy(source)[2, 1:5:2, 2:5].compute()
    assert source.boxes == [(slice(2, 3), slice(1, 4), slice(2, 5))]


@pytest.mark.parametrize("index", [7, -8, (0, 0, 0, 0), (0, [9])])
def test_an_index_outside(index: Any) -> None:
    with pytest.raises(IndexError):
        ArraySource(array())[index]


@given(st.permutations("ZYX"), hnp.basic_indices((3, 3, 3), allow_ellipsis=False))
def test_other_orders_of_axes(order: list[str], index: Any) -> None:
    data = np.arange(60).reshape(3, 4, 5)
    source = in_order(ArraySource(data), "ZYX", "".join(order))
    expected = np.einsum("ZYX->" + "".join(order), data)
    assert source.shape == expected.shape
    np.testing.assert_array_equal(source[index], expected[index])


def test_samples_may_come_and_go() -> None:
    grey = np.arange(12).reshape(3, 4)
    rgb = Pixelwise(ArraySource(grey), lambda block: np.stack([block, -block, block * 0], -1), int, (0, 3))
    assert (rgb.shape, rgb.chunks) == ((3, 4, 3), (1, 1, 3))
    np.testing.assert_array_equal(rgb[1, 2:, 1], -grey[1, 2:])
    first = Pixelwise(rgb, lambda block: block[..., 0], int, (3, 0))
    assert first.shape == (3, 4)
    np.testing.assert_array_equal(first[1:, 2], grey[1:, 2])


def test_what_a_decoder_raises_becomes_one_error() -> None:
    class Broken(ArraySource):
        def read(self, box: Box) -> np.ndarray:
            raise ZeroDivisionError("deep inside")

    message = r"array\.tif cannot be decoded at \[0:1, 2:3, 0:6\]: ZeroDivisionError: deep inside"
    with pytest.raises(FileReadError, match=message):
        Broken(array())[0, 2]


def test_lack_of_memory_is_no_damage() -> None:
    class Full(ArraySource):
        def read(self, box: Box) -> np.ndarray:
            raise MemoryError

    with pytest.raises(MemoryError):
        Full(array())[0]


def test_cells_of_a_grid() -> None:
    assert cells((slice(3, 9), slice(0, 4)), (4, 4)) == [(0, 0), (1, 0), (2, 0)]
