"""The image as every other room sees it: a lazy array, its axes, and what its file says about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from napari_seamless.errors import AxesError, ChannelError, PixelTypeError
from napari_seamless.images.axes import canonical_order, check_axes, permutation, spatial_axes
from napari_seamless.images.blocks import block_shape
from napari_seamless.images.sources import MemorySource, lazy


@dataclass(frozen=True, eq=False)
class Image:
    """A lazy image of any size.

    Attributes
    ----------
    data : dask.array.Array
        The pixels at full resolution; nothing is read until a slice is computed.
    axes : str
        One letter per axis in the order ``TCZYXS``: a subset of ``TCZYX``, then ``S`` for RGB(A) samples.
    voxel_size_um : tuple of float or None
        Micrometres per step along each spatial axis, in the order of ``spatial_axes``; None when the file does not say.
    channel_names : tuple of str
        One name per entry of axis ``C``; empty without that axis. Unnamed channels are called ``channel 0``, ...
    pyramid : tuple of dask.array.Array
        All resolution levels, the full one first, when the file has several; else empty.
    path : pathlib.Path or None
        Where the image was read from.

    Raises
    ------
    AxesError, EmptyImageError, ChannelError, PixelTypeError
        When the parts do not fit each other.
    """

    data: da.Array
    axes: str
    voxel_size_um: tuple[float, ...] | None = None
    channel_names: tuple[str, ...] = ()
    pyramid: tuple[da.Array, ...] = ()
    path: Path | None = None

    def __post_init__(self) -> None:
        axes = check_axes(self.axes, self.data.shape)
        if axes != canonical_order(axes):
            raise AxesError(f"axes {self.axes!r} are not in the order TCZYXS; Image.from_array brings them there")
        check_pixel_type(self.data.dtype)
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "voxel_size_um", checked_voxel_size(self.voxel_size_um, axes))
        object.__setattr__(self, "channel_names", checked_channel_names(self.channel_names, self.sizes.get("C", 0)))

    @classmethod
    def from_array(
        cls,
        array: Any,
        axes: str,
        voxel_size_um: Sequence[float] | None = None,
        channel_names: Sequence[str] = (),
    ) -> Image:
        """Wrap an array whose axes stand in any order.

        Parameters
        ----------
        array : numpy.ndarray, dask.array.Array, zarr.Array or array-like
            Pixels; an array that reads lazily stays lazy. A colour axis ``S`` goes last, the others as ``TCZYX``.
        axes : str
            One letter per axis of ``array``.
        voxel_size_um : sequence of float, optional
            One per spatial axis, in the order Z, Y, X whatever the order of ``axes``.
        channel_names : sequence of str, optional
            One per entry of axis ``C``.
        """
        pixels = as_lazy(array)
        letters = check_axes(axes, pixels.shape)
        order = canonical_order(letters)
        return cls(
            data=pixels if order == letters else pixels.transpose(permutation(letters, order)),
            axes=order,
            voxel_size_um=None if voxel_size_um is None else tuple(voxel_size_um),
            channel_names=tuple(channel_names),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        return tuple(int(length) for length in self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype

    @property
    def sizes(self) -> dict[str, int]:
        """Axis letter to length."""
        return dict(zip(self.axes, self.shape, strict=True))

    @property
    def spatial_axes(self) -> str:
        """``YX`` or ``ZYX``."""
        return spatial_axes(self.axes)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array at full resolution, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize


def as_lazy(array: Any) -> da.Array:
    """Return a dask array over ``array`` without reading, copying or hashing its contents."""
    if isinstance(array, da.Array):
        return array
    source = array if hasattr(array, "shape") and hasattr(array, "dtype") else np.asarray(array)
    check_pixel_type(np.dtype(source.dtype))
    if isinstance(source, np.ndarray):
        return lazy(MemorySource(source))
    storage = getattr(source, "chunks", None) or (1,) * source.ndim
    wrapped: da.Array = da.from_array(source, chunks=block_shape(source.shape, storage, source.dtype), name=False)
    return wrapped


def check_pixel_type(dtype: np.dtype[Any]) -> None:
    """Raise PixelTypeError for what is no intensity: complex numbers, text, records."""
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise PixelTypeError(
            f"pixels are integers, booleans or floats of up to 64 bits, found {dtype}; convert the image first"
        )


def checked_voxel_size(sizes: Sequence[float] | None, axes: str) -> tuple[float, ...] | None:
    """Return one positive size per spatial axis of ``axes``; raise AxesError when ``sizes`` is something else."""
    if sizes is None:
        return None
    expected = spatial_axes(axes)
    values = tuple(float(size) for size in sizes)
    if len(values) != len(expected):
        raise AxesError(f"voxel_size_um {values} has {len(values)} entries; axes {axes} need one each for {expected}")
    if not all(math.isfinite(size) and size > 0 for size in values):
        raise AxesError(f"voxel_size_um {values}: sizes are positive numbers of micrometres; leave unknown ones out")
    return values


def checked_channel_names(names: Sequence[str], n_channels: int) -> tuple[str, ...]:
    """Return one name per channel, made up where there are none; raise ChannelError for another number of names."""
    if not names:
        return tuple(f"channel {index}" for index in range(n_channels))
    if len(names) != n_channels:
        raise ChannelError(f"{len(names)} channel names {tuple(names)} for {n_channels} channels: give one for each")
    return tuple(str(name) for name in names)
