"""Intensity statistics of a whole image, and the scaling built on them.

A network must see the same numbers whichever tile a pixel falls into. The two constants per channel therefore come from
the whole image, once, and :func:`normalise` is elementwise arithmetic with them: tiles and the whole agree bitwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import AxesError, ConfigError, EmptyImageError, NotFiniteError
from napari_seamless.images.blocks import Box, chunks_of
from napari_seamless.images.image import check_pixel_type
from napari_seamless.images.percentiles import Collected, collector
from napari_seamless.images.sampling import choose_places

_CHANNELS_AT_ONCE = 4
"""Channels that share one pass, so that RGBA pixels are decoded once; bounds the memory for many channels."""

_PERCENTILES_COINCIDE = "; both percentiles coincide, so darkest and brightest of these pixels"


@dataclass(frozen=True)
class Normalization:
    """Which percentiles of the image's intensities a model wants at 0 and 1.

    Attributes
    ----------
    lower_percentile, upper_percentile : float
        Percentiles, 0 to 100, that :func:`normalise` maps to 0 and 1.
    """

    lower_percentile: float = 1.0
    upper_percentile: float = 99.8

    def __post_init__(self) -> None:
        if not 0 <= self.lower_percentile < self.upper_percentile <= 100:
            raise ConfigError(
                f"percentiles {self.lower_percentile} and {self.upper_percentile}: "
                "0 <= lower_percentile < upper_percentile <= 100 must hold"
            )


@dataclass(frozen=True)
class IntensityRange:
    """The intensities that become 0 and 1, per channel.

    Attributes
    ----------
    low, high : tuple of float
        One entry per channel, in the image's own intensities.
    source : str
        Which pixels were looked at, for people to read.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high):
            raise ConfigError(f"{len(self.low)} lows and {len(self.high)} highs: give one of each per channel")


def measure_range(
    data: Any, normalization: Normalization, max_pixels: int = 2**24, axes: str | None = None
) -> IntensityRange:
    """Measure the percentiles of every channel over the whole image.

    All pixels are read when a channel has at most ``max_pixels``; else at most that many, in blocks spread evenly and
    always at the same places. Up to 16 bits the percentiles come from a histogram, beyond from the pixels themselves;
    both are those of ``numpy.percentile`` (linear interpolation). Percentiles that coincide (sparse bright spots on
    black) give way to the darkest and the brightest pixel.

    Parameters
    ----------
    data : dask.array.Array, zarr.Array or numpy.ndarray
        Shape ``(C, ...)``: channels first, any other axes after. Read block by block.
    normalization : Normalization
        The percentiles.
    max_pixels : int
        Bound for the pixels read per channel; memory is bounded by it as well.
    axes : str, optional
        Axis letters of ``data``, for the message when a pixel is not finite.

    Raises
    ------
    NotFiniteError
        When pixels that were read are NaN or infinite: with their count and the first place.
    EmptyImageError, AxesError, PixelTypeError
        For an array without pixels, without axes beside the channels, or of another kind than numbers.
    """
    _check_input(data, max_pixels)
    places, source = choose_places(chunks_of(data)[1:], max_pixels)
    percentiles = [normalization.lower_percentile, normalization.upper_percentile]
    low: list[float] = []
    high: list[float] = []
    coincided = False
    for first in range(0, data.shape[0], _CHANNELS_AT_ONCE):
        channels = slice(first, min(first + _CHANNELS_AT_ONCE, data.shape[0]))
        for pixels in _read_channels(data, channels, places, axes):
            lower, upper = pixels.percentiles(percentiles)
            if lower == upper:
                lower, upper = pixels.extremes()
                coincided |= lower < upper
            low.append(lower)
            high.append(upper)
    _check_span(low, high)
    return IntensityRange(tuple(low), tuple(high), source + (_PERCENTILES_COINCIDE if coincided else ""))


def normalise(block: NDArray[Any], intensity_range: IntensityRange) -> NDArray[np.float32]:
    """Scale intensities so that ``low`` becomes 0 and ``high`` becomes 1, without clipping.

    Parameters
    ----------
    block : ndarray, shape (C, ...)
        Any part of the image that the range was measured on.
    intensity_range : IntensityRange
        One low and high per channel. A channel where they are equal becomes all zeros.

    Returns
    -------
    ndarray of float32, shape (C, ...)
        Each element depends on its own pixel alone, so any tiling gives bitwise the same values.

    Raises
    ------
    AxesError
        When the block has another number of channels than the range.
    NotFiniteError
        When a result lies beyond what float32 holds.
    """
    if block.shape[0] != len(intensity_range.low):
        raise AxesError(
            f"a block of {block.shape[0]} channels and an intensity range of {len(intensity_range.low)}: "
            "measure the range on the channels that are fed"
        )
    exact = block.dtype.kind == "f" or block.dtype.itemsize <= 2
    work = np.float32 if exact and block.dtype.itemsize <= 4 else np.float64
    result = np.empty(block.shape, np.float32)
    for channel, (low, high) in enumerate(zip(intensity_range.low, intensity_range.high, strict=True)):
        span = work(high - low)
        if span == 0:
            result[channel] = 0
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.subtract(block[channel], work(low), dtype=work)
            scaled /= span
            result[channel] = scaled
    if block.dtype.kind == "f":
        _check_result(result, block)
    return result


def check_finite(block: NDArray[Any], origin: Sequence[int], axes: str) -> None:
    """Raise NotFiniteError when ``block`` holds NaN or infinity.

    Parameters
    ----------
    block : ndarray
        Part of an image.
    origin : sequence of int
        Image coordinates of the block's first element, one per axis.
    axes : str
        Letters of the block's axes.
    """
    found = _not_finite(
        block, [slice(start, start + length) for start, length in zip(origin, block.shape, strict=True)]
    )
    if found is not None:
        _raise_not_finite(*found, axes)


def _read_channels(data: Any, channels: slice, places: Sequence[Box], axes: str | None) -> list[Collected]:
    collected = [collector(np.dtype(data.dtype)) for _ in range(channels.start, channels.stop)]
    bad = 0
    first: tuple[int, ...] | None = None
    for place in places:
        block = np.asarray(data[(channels, *place)])
        found = _not_finite(block, (channels, *place))
        if found is not None:
            bad, first = bad + found[0], min(first or found[1], found[1])
        elif not bad:
            for channel, pixels in enumerate(collected):
                pixels.add(block[channel])
    if first is not None:
        _raise_not_finite(bad, first, axes)
    return collected


def _check_input(data: Any, max_pixels: int) -> None:
    check_pixel_type(np.dtype(data.dtype))
    if data.ndim < 2:
        raise AxesError(f"an array of shape {tuple(data.shape)}: give channels first and at least one axis after them")
    if 0 in data.shape:
        raise EmptyImageError(f"the image of shape {tuple(data.shape)} is empty: an axis has length 0")
    if max_pixels < 1:
        raise ConfigError(f"max_pixels is {max_pixels}: at least one pixel must be looked at")


def _check_span(low: Sequence[float], high: Sequence[float]) -> None:
    limit = float(np.finfo(np.float32).max)
    for channel, (lower, upper) in enumerate(zip(low, high, strict=True)):
        if max(abs(lower), abs(upper), upper - lower) > limit:
            raise NotFiniteError(
                f"intensities of channel {channel} span {lower:g} to {upper:g}, beyond the range of float32 "
                f"({limit:g}); scale or clip the image first"
            )


def _check_result(result: NDArray[np.float32], block: NDArray[Any]) -> None:
    bad = ~np.isfinite(result)
    if bad.any():
        value = block[np.unravel_index(int(np.argmax(bad)), block.shape)]
        raise NotFiniteError(
            f"{int(bad.sum())} pixels, the first of value {value:g}, are not finite after scaling to the image's "
            "intensity range; replace NaN and infinite pixels, and clip values beyond the range of float32"
        )


def _not_finite(block: NDArray[Any], place: Sequence[slice]) -> tuple[int, tuple[int, ...]] | None:
    if block.dtype.kind != "f":
        return None
    finite = np.isfinite(block)
    if finite.all():
        return None
    position = np.unravel_index(int(np.argmin(finite)), block.shape)
    first = tuple(span.start + int(at) * (span.step or 1) for span, at in zip(place, position, strict=True))
    return int(finite.size - np.count_nonzero(finite)), first


def _raise_not_finite(count: int, place: Sequence[int], axes: str | None) -> None:
    names = axes if axes is not None and len(axes) == len(place) else None
    where = ", ".join(f"{name}={at}" for name, at in zip(names, place, strict=True)) if names else str(tuple(place))
    raise NotFiniteError(
        f"the image holds {count} NaN or infinite pixels, the first at {where}; a network needs finite numbers: "
        "replace them, for example with numpy.nan_to_num"
    )
