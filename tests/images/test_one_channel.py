"""One channel of an image as an image of its own."""

from __future__ import annotations

import numpy as np
import pytest

from napari_seamless.errors import ChannelError
from napari_seamless.images.image import Image
from napari_seamless.images.one_channel import one_channel


@pytest.fixture
def movie() -> Image:
    pixels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    return Image.from_array(pixels, "TCYX", (0.5, 0.25), ("red", "green", "blue"))


@pytest.mark.parametrize("channel", [1, "green"])
def test_channel_is_taken_by_number_or_name(movie: Image, channel: int | str) -> None:
    found = one_channel(movie, channel)
    assert found.axes == "TYX"
    assert found.voxel_size_um == (0.5, 0.25)
    np.testing.assert_array_equal(found.data.compute(), movie.data.compute()[:, 1])


@pytest.mark.parametrize("channel", [3, -1, "violet"])
def test_channel_that_is_not_there_is_refused(movie: Image, channel: int | str) -> None:
    with pytest.raises(ChannelError, match="0 = red, 1 = green, 2 = blue"):
        one_channel(movie, channel)


def test_image_without_channels_stays_as_it_is() -> None:
    image = Image.from_array(np.zeros((4, 5)), "YX")
    assert one_channel(image, 2) is image
