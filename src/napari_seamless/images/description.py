"""What an output is, checked before the work that fills it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_seamless.errors import AxesError, ChannelError, PixelTypeError
from napari_seamless.images.axes import canonical_order, check_axes
from napari_seamless.images.image import check_pixel_type, checked_channel_names, checked_voxel_size


@dataclass(frozen=True)
class Description:
    """An image that is going to be written.

    Attributes
    ----------
    shape : tuple of int
        Length of every axis.
    axes : str
        A subset of ``TCZYX`` in that order.
    dtype : numpy.dtype
        Pixel type.
    chunks : tuple of int
        Regions that are written at once.
    voxel_size_um : tuple of float or None
        One per spatial axis.
    channel_names : tuple of str
        One per channel, or none.
    labels : bool
        The pixels are ids of objects.

    Raises
    ------
    AxesError, EmptyImageError, ChannelError, PixelTypeError
        When the parts do not fit each other.
    """

    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    voxel_size_um: tuple[float, ...] | None = None
    channel_names: tuple[str, ...] = ()
    labels: bool = False

    def __post_init__(self) -> None:
        letters = check_axes(self.axes, self.shape)
        if letters != canonical_order(letters) or letters != self.axes:
            raise AxesError(f"output axes {self.axes!r} are not in the order TCZYX")
        if "S" in letters:
            raise AxesError(f"output axes {letters!r}: colour samples are written as channels; name that axis C")
        if len(self.chunks) != len(self.shape) or min(self.chunks) < 1:
            raise AxesError(f"chunks {self.chunks} for an array of shape {self.shape}: give one length per axis")
        check_pixel_type(self.dtype)
        if self.labels and self.dtype.kind not in "ui":
            raise PixelTypeError(f"labels are integers, found {self.dtype}; convert them first")
        checked_voxel_size(self.voxel_size_um, letters)
        if self.channel_names and "C" not in letters:
            raise ChannelError(f"channel names {self.channel_names} for an output without an axis C (axes {letters})")
        if self.channel_names:
            checked_channel_names(self.channel_names, self.shape[letters.index("C")])

    @property
    def kind(self) -> str:
        """What it is called in its metadata; not by its file's name, so that equal images make equal files."""
        return "labels" if self.labels else "image"

    @property
    def fitting_chunks(self) -> tuple[int, ...]:
        """``chunks``, no larger than the array."""
        return tuple(min(length, side) for length, side in zip(self.shape, self.chunks, strict=True))
