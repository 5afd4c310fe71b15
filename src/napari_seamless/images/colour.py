"""Pixels as files encode them, turned into intensities or RGB: palettes, inverted grey, CMYK, alpha."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_seamless.images.sources import Pixelwise, Source

_PALETTE = tifffile.PHOTOMETRIC.PALETTE
_INVERTED = tifffile.PHOTOMETRIC.MINISWHITE
_CMYK = tifffile.PHOTOMETRIC.SEPARATED
_COLOURS = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)


def sample_axes(page: tifffile.TiffPage, axes: str, n_samples: int) -> str:
    """Return ``axes`` with S renamed to C where the samples of a pixel are channels, not a colour."""
    is_colour = page.photometric in _COLOURS and n_samples in (3, 4)
    is_ink = page.photometric == _CMYK and n_samples >= 4
    has_alpha = n_samples == 2 and bool(page.extrasamples) and int(page.extrasamples[0]) in (1, 2)
    return axes if is_colour or is_ink or has_alpha else axes.replace("S", "C")


def as_intensities(source: Source, axes: str, page: tifffile.TiffPage, keep_indices: bool) -> tuple[Source, str]:
    """Return a source of grey values or RGB(A), and its axes.

    Parameters
    ----------
    source : Source
        Pixels as stored, the samples of a pixel last.
    axes : str
        The source's axes.
    page : tifffile.TiffPage
        Says how pixels are encoded.
    keep_indices : bool
        Leave palettes and inverted grey values as stored: ImageJ writes a display setting in this way.
    """
    samples = source.shape[-1] if axes.endswith("S") else 0
    if not keep_indices and page.photometric == _PALETTE and page.colormap is not None and not samples:
        return _expanded(source, np.asarray(page.colormap)), axes + "S"
    if not keep_indices and page.photometric == _INVERTED and source.dtype.kind in "bu":
        source = Pixelwise(source, _inverter(source.dtype, page.bitspersample), source.dtype)
    if page.photometric == _CMYK and samples >= 4:
        return Pixelwise(source, _cmyk_to_rgb, source.dtype, (samples, 3)), axes
    if samples == 2:
        return Pixelwise(source, _first_sample, source.dtype, (2, 0)), axes[:-1]
    return source, axes


def as_number(source: Source) -> Source:
    """Return a source without booleans and half floats, which few programs take."""
    if source.dtype.kind == "b":
        return Pixelwise(source, lambda block: block.astype(np.uint8), np.uint8)
    if source.dtype == np.float16:
        return Pixelwise(source, lambda block: block.astype(np.float32), np.float32)
    return source


def _expanded(source: Source, palette: NDArray[Any]) -> Source:
    # TIFF palettes have 16 bits; nearly all come from 8, as multiples of 256 or of 257.
    is_wide = bool((palette % 256 != 0).any() and (palette % 257 != 0).any())
    colours = np.ascontiguousarray(palette.T if is_wide else (palette >> 8).astype(np.uint8).T)
    return Pixelwise(source, lambda block: colours[block], colours.dtype, (0, 3))


def _inverter(dtype: np.dtype[Any], bits: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    if dtype.kind == "b":
        return np.logical_not
    white = dtype.type(2**bits - 1)
    return lambda block: white - block


def _cmyk_to_rgb(block: NDArray[Any]) -> NDArray[Any]:
    """Return (1 - C)(1 - K) and so on: the inks' nominal colours, without a colour profile."""
    full = np.iinfo(block.dtype).max if block.dtype.kind == "u" else 1
    light = full - block[..., :4].astype(np.float64)
    rgb = light[..., :3] * light[..., 3:] / full
    return (np.rint(rgb) if block.dtype.kind == "u" else rgb).astype(block.dtype)


def _first_sample(block: NDArray[Any]) -> NDArray[Any]:
    return block[..., 0]
