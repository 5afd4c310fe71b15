"""Open TIFF files: plain, ImageJ, OME-TIFF, BigTIFF, pyramids."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tifffile

from napari_seamless.errors import FileReadError, SeamlessError
from napari_seamless.images.axes import canonical_order, check_axes
from napari_seamless.images.colour import as_intensities, as_number, sample_axes
from napari_seamless.images.image import Image
from napari_seamless.images.sources import Source, in_order, lazy
from napari_seamless.images.tiff_checks import check_complete
from napari_seamless.images.tiff_metadata import channel_names, resolve_axes, voxel_size
from napari_seamless.images.tiff_pixels import TiffSource

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(path: Path) -> bool:
    """Return whether a file starts like a TIFF or a BigTIFF."""
    with path.open("rb") as file:
        return file.read(4) in _STARTS


def open_tiff(path: Path, axes: str | None = None) -> Image:
    """Open a TIFF file lazily.

    Of several series the first is taken from an OME-TIFF, else the largest. Its levels become the pyramid.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    axes : str, optional
        Letters for the file's own axes without those of length 1, instead of what the file says.

    Raises
    ------
    FileReadError
        For a file that is no TIFF, damaged, cut off, or encoded in a way that is not known.
    AxesError
        When ``axes`` does not fit, or is needed.
    """
    complaints: list[str] = []
    try:
        with _complaints_of_tifffile(complaints), tifffile.TiffFile(path) as tif:
            return _open(path, tif, axes)
    except (SeamlessError, MemoryError):
        raise
    # tifffile raises whatever its parsers meet in damaged bytes.
    except Exception as error:
        reason = "; ".join([f"{type(error).__name__}: {error}", *complaints[:1]])
        raise FileReadError(f"{path} is no TIFF file that can be read, or is damaged: {reason}") from error


def _open(path: Path, tif: tifffile.TiffFile, axes: str | None) -> Image:
    if not tif.pages or not tif.series:
        raise FileReadError(f"{path} is damaged or cut off: it holds no image; copy it again")
    series = tif.series[0] if tif.is_ome else max(tif.series, key=lambda candidate: math.prod(candidate.shape))
    check_complete(path, tif, series)
    source = TiffSource(path, series)
    named = check_axes(axes, source.shape) if axes is not None else _file_axes(path, series)
    levels = [_canonical(source, named, series.keyframe, tif.is_imagej)]
    for level in series.levels[1:]:
        if len(level.shape) == len(series.shape):
            levels.append(_canonical(TiffSource(path, level), named, level.keyframe, tif.is_imagej))
    data = [lazy(level) for level, _ in levels]
    final_axes = levels[0][1]
    check_axes(final_axes, data[0].shape)
    n_channels = data[0].shape[final_axes.index("C")] if "C" in final_axes else 0
    return Image(
        data=data[0],
        axes=final_axes,
        voxel_size_um=voxel_size(tif, final_axes),
        channel_names=channel_names(tif, n_channels),
        pyramid=tuple(data) if len(data) > 1 else (),
        path=path,
    )


def _file_axes(path: Path, series: tifffile.TiffPageSeries) -> str:
    axes = series.axes
    if "S" in axes:
        axes = sample_axes(series.keyframe, axes, series.shape[axes.index("S")])
        if axes.count("C") > 1:
            raise FileReadError(f"{path} has channels within channels (axes {series.axes}); open it with axes=")
    return resolve_axes(axes, path)


def _canonical(source: Source, axes: str, page: tifffile.TiffPage, is_imagej: bool) -> tuple[Source, str]:
    ordered = in_order(source, axes, canonical_order(axes))
    converted, converted_axes = as_intensities(ordered, canonical_order(axes), page, keep_indices=is_imagej)
    if converted.dtype.kind not in "buif":
        raise FileReadError(f"{source.path} has pixels of type {converted.dtype}, which are no intensities")
    return as_number(converted), converted_axes


class _Collector(logging.Filter):
    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        if threading.get_ident() != self._thread:
            return True
        self._messages.append(record.getMessage())
        return False


@contextmanager
def _complaints_of_tifffile(messages: list[str]) -> Iterator[None]:
    """Keep what tifffile logs in this thread off the screen: what matters of it becomes an error's text."""
    collector = _Collector(messages)
    logger = logging.getLogger("tifffile")
    logger.addFilter(collector)
    try:
        yield
    finally:
        logger.removeFilter(collector)
