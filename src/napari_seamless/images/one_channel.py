"""One channel of an image as an image of its own."""

from __future__ import annotations

from dataclasses import replace

from napari_seamless.errors import ChannelError
from napari_seamless.images.image import Image


def one_channel(image: Image, channel: int | str) -> Image:
    """Return one channel of an image, lazily; an image without channels as it is.

    Parameters
    ----------
    image : Image
    channel : int or str
        Its number, from 0, or its name.

    Returns
    -------
    Image
        Without the axis ``C``, and without pyramid.

    Raises
    ------
    ChannelError
        If there is no such channel; the message lists those there are.
    """
    if "C" not in image.axes:
        return image
    names = image.channel_names
    index = names.index(channel) if isinstance(channel, str) and channel in names else channel
    if not isinstance(index, int) or not 0 <= index < image.sizes["C"]:
        available = ", ".join(f"{number} = {name}" for number, name in enumerate(names)) or str(image.sizes["C"])
        raise ChannelError(f"there is no channel {channel!r}; the image has {available}")
    where = (slice(None),) * image.axes.index("C")
    single = Image.from_array(image.data[(*where, index)], image.axes.replace("C", ""), image.voxel_size_um)
    return replace(single, path=image.path)
