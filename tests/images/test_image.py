"""The Image: canonical order, checks, laziness."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_seamless.errors import AxesError, ChannelError, EmptyImageError, PixelTypeError
from napari_seamless.images.image import Image


@given(st.permutations("TCZYX"), st.integers(0, 3))
def test_any_order_of_axes_becomes_canonical(letters: list[str], dropped: int) -> None:
    axes = "".join(letter for letter in letters if letter not in "TCZ"[:dropped])
    array = np.random.default_rng(0).integers(0, 99, [2 + "TCZYX".index(letter) for letter in axes])
    image = Image.from_array(array, axes)
    assert image.axes == "".join(letter for letter in "TCZYX" if letter in axes)
    assert image.sizes == {letter: 2 + "TCZYX".index(letter) for letter in image.axes}
    np.testing.assert_array_equal(image.data, np.einsum(f"{axes}->{image.axes}", array))


def test_facts() -> None:
    image = Image.from_array(np.zeros((4, 5, 6, 2), np.uint16), "zyxc", (2, 0.5, 0.25), ("DAPI", "actin"))
    assert (image.axes, image.shape, image.dtype) == ("CZYX", (2, 4, 5, 6), np.uint16)
    assert (image.spatial_axes, image.nbytes) == ("ZYX", 480)
    assert image.voxel_size_um == (2.0, 0.5, 0.25)
    assert image.channel_names == ("DAPI", "actin")


def test_every_channel_has_a_name() -> None:
    assert Image.from_array(np.zeros((2, 3, 3)), "CYX").channel_names == ("channel 0", "channel 1")
    assert Image.from_array(np.zeros((3, 3)), "YX").channel_names == ()


def test_samples_stay_last() -> None:
    image = Image.from_array(np.zeros((3, 7, 5), np.uint8), "SYX")
    assert (image.axes, image.shape) == ("YXS", (7, 5, 3))


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        pytest.param({"axes": "ZYX", "voxel_size_um": (1, 1)}, AxesError, "has 2 entries; .* ZYX", id="voxel count"),
        pytest.param({"axes": "ZYX", "voxel_size_um": (1, 0, 1)}, AxesError, "positive", id="voxel zero"),
        pytest.param({"axes": "ZYX", "voxel_size_um": (1, float("nan"), 1)}, AxesError, "positive", id="voxel nan"),
        pytest.param({"axes": "CYX", "channel_names": ("a",)}, ChannelError, "1 channel names .* for 2", id="names"),
        pytest.param({"axes": "ZYX", "channel_names": ("a",)}, ChannelError, "for 0 channels", id="no channels"),
    ],
)
def test_parts_that_do_not_fit(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Image.from_array(np.zeros((2, 3, 4)), **keywords)


def test_the_constructor_insists_on_the_order() -> None:
    with pytest.raises(AxesError, match="not in the order TCZYXS"):
        Image(data=da.zeros((3, 4)), axes="XY")


def test_an_empty_array_is_refused() -> None:
    with pytest.raises(EmptyImageError, match="empty"):
        Image.from_array(np.zeros((0, 4)), "YX")


@pytest.mark.parametrize("dtype", ["complex64", "U3", "M8[s]", "object"])
def test_pixels_that_are_no_intensities(dtype: str) -> None:
    with pytest.raises(PixelTypeError, match="pixels are integers, booleans or floats"):
        Image.from_array(np.zeros((3, 4), dtype), "YX")


def test_nothing_is_read_before_a_slice_is_computed() -> None:
    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("read")

    lazy = da.zeros((20, 30, 40), chunks=10).map_blocks(refuse, dtype=float, meta=np.zeros((0, 0, 0)))
    image = Image.from_array(lazy, "XYZ")
    assert image.shape == (40, 30, 20)
    with pytest.raises(AssertionError, match="read"):
        image.data[0, 0, 0].compute()


def test_an_array_in_memory_is_neither_copied_nor_handed_out() -> None:
    array = np.zeros((300, 400), np.uint16)
    image = Image.from_array(array, "YX")
    array[7, 8] = 5  # still the same array
    block = image.data[5:9, 5:9].compute()
    assert block[2, 3] == 5
    block[...] = 99
    assert array.max() == 5


def test_a_zarr_array_stays_lazy_and_is_cut_along_its_chunks() -> None:
    array = zarr.create_array(store={}, shape=(40, 50, 60), chunks=(10, 50, 60), dtype="u2")
    array[:] = np.arange(40 * 50 * 60).reshape(40, 50, 60)
    image = Image.from_array(array, "ZYX")
    assert isinstance(image.data, da.Array)
    np.testing.assert_array_equal(image.data[7, 3:5, ::2], array[7, 3:5][:, ::2])
