"""Blocks cover every pixel once, follow chunks, and stay within their size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_seamless.images.blocks import (
    BLOCK_BYTES,
    block_shape,
    boxes,
    chunks_of,
    merge_chunks,
    regular_chunks,
)

shapes_and_chunks = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 12)), min_size=1, max_size=4)


@given(shapes_and_chunks, st.integers(1, 5000))
def test_merged_chunks_cover_every_pixel_once_at_chunk_borders(sides: list[tuple[int, int]], max_elements: int) -> None:
    shape = tuple(length for length, _ in sides)
    chunks = regular_chunks(shape, tuple(chunk for _, chunk in sides))
    merged = merge_chunks(chunks, max_elements)
    count = np.zeros(shape, int)
    for box in boxes(merged):
        count[box] += 1
    assert (count == 1).all()
    for before, after in zip(chunks, merged, strict=True):
        assert set(np.cumsum(after)) <= set(np.cumsum(before))
    largest_chunk = math.prod(max(lengths) for lengths in chunks)
    assert math.prod(max(lengths) for lengths in merged) <= max(max_elements, largest_chunk)


@pytest.mark.parametrize(
    ("shape", "chunk", "dtype", "expected"),
    [
        pytest.param((2048, 2240, 2240), (64, 64, 64), "u2", (64, 256, 256), id="cubes grow within planes"),
        pytest.param((2, 500, 4480, 4480), (1, 1, 256, 256), "u1", (1, 1, 2048, 4096), id="planes stay planes"),
        pytest.param((100, 64, 64), (1, 64, 64), "u1", (100, 64, 64), id="small planes are joined"),
        pytest.param((30000, 30000), (1, 30000), "u2", (128, 30000), id="strips are joined"),
        pytest.param((9000, 9000, 3), (9000, 9000, 3), "u1", (9000, 9000, 3), id="large chunks stay whole"),
        pytest.param((5000, 5000, 3), (256, 256, 3), "u1", (1024, 2048, 3), id="samples are not split"),
    ],
)
def test_lazy_blocks(shape: tuple[int, ...], chunk: tuple[int, ...], dtype: str, expected: tuple[int, ...]) -> None:
    assert block_shape(shape, chunk, dtype) == expected


@given(shapes_and_chunks)
def test_lazy_blocks_hold_whole_chunks_and_about_the_budget(sides: list[tuple[int, int]]) -> None:
    shape = tuple(length * 100 for length, _ in sides)
    chunk = tuple(side for _, side in sides)
    block = block_shape(shape, chunk, np.float64)
    assert math.prod(block) * 8 <= max(BLOCK_BYTES, math.prod(chunk) * 8)
    for length, side, joined in zip(shape, chunk, block, strict=True):
        assert joined == length or joined % side == 0


def test_a_plain_array_counts_as_stored_in_planes() -> None:
    assert chunks_of(np.zeros((2, 3, 4))) == ((1, 1), (3,), (4,))
