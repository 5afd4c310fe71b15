"""Axes: what is accepted, what is refused and with which words."""

from __future__ import annotations

import pytest

from napari_seamless.errors import AxesError, EmptyImageError
from napari_seamless.images.axes import canonical_order, check_axes, permutation, spatial_axes


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        pytest.param("QYX", (2, 3, 4), "Q is not an axis", id="unknown"),
        pytest.param("YYX", (2, 3, 4), "Y occurs more than once", id="repeated"),
        pytest.param("YX", (2, 3, 4), r"name 2 axes, the array has 3 with shape \(2, 3, 4\)", id="too few"),
        pytest.param("TZCYX", (2, 3, 4), "name 5 axes, the array has 3", id="too many"),
        pytest.param("ZCX", (2, 3, 4), "at least Y and X", id="no Y"),
        pytest.param("YXS", (5, 6, 2), r"length 3 \(RGB\) or 4 \(RGBA\), found 2; name the axis C", id="two samples"),
    ],
)
def test_refused(axes: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(AxesError, match=message):
        check_axes(axes, shape)


def test_an_empty_axis_has_its_own_error() -> None:
    with pytest.raises(EmptyImageError, match=r"shape \(3, 0\).*empty"):
        check_axes("YX", (3, 0))


@pytest.mark.parametrize(("axes", "expected"), [("xyzct", "XYZCT"), ("yxs", "YXS"), ("YX", "YX")])
def test_letters_are_taken_in_any_case(axes: str, expected: str) -> None:
    assert check_axes(axes, (3,) * len(axes)) == expected


def test_canonical_order_and_the_way_there() -> None:
    assert canonical_order("XYSZCT") == "TCZYXS"
    assert permutation("XYZ", "ZYX") == (2, 1, 0)
    assert spatial_axes("XTZYC") == "ZYX"
    assert spatial_axes("YXS") == "YX"
