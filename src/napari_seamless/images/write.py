"""Write images so that a file is there complete or not at all: under a temporary name beside it, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_seamless.errors import FileWriteError, OutputExistsError
from napari_seamless.images.axes import canonical_order, check_axes, permutation
from napari_seamless.images.blocks import boxes, chunks_of, merge_chunks
from napari_seamless.images.description import Description
from napari_seamless.images.image import as_lazy
from napari_seamless.images.publish import DISK_ERRORS, PERMISSION_ERRORS, named_errors, publish, temporary_name
from napari_seamless.images.read_zarr import is_zarr
from napari_seamless.images.write_tiff import TIFF_TYPES, create_staging, write_ome_tiff
from napari_seamless.images.write_zarr import create_ome_zarr, default_chunks

_TIFF_ENDINGS = (".tif", ".tiff")
_ZARR_ENDINGS = (".zarr",)
_BLOCK_ELEMENTS = 2**22


def check_output(path: str | PathLike[str], overwrite: bool = False) -> None:
    """Check that an output can be written, as far as that can be known before the work.

    Parameters
    ----------
    path : path-like
        Where the output shall go: ``.ome.zarr``, ``.zarr``, ``.ome.tif``, ``.tif``, ``.tiff``.
    overwrite : bool
        Whether what is there may be replaced.

    Raises
    ------
    OutputExistsError
        When something is there and ``overwrite`` is false.
    FileWriteError
        For another ending, a folder that is missing or cannot be written to, or when what is there is of another kind
        than the output: a zarr output replaces only a zarr folder, a TIFF output only a file.
    """
    place = Path(path)
    ending = _ending(place)
    if not place.parent.is_dir():
        raise FileWriteError(f"{place}: there is no folder {place.parent}; make it first")
    if os.path.lexists(place):
        if not overwrite:
            raise OutputExistsError(f"{place} exists; choose another name, or allow overwriting (--overwrite)")
        if place.is_dir() != (ending in _ZARR_ENDINGS):
            kind = "folder" if place.is_dir() else "file"
            raise FileWriteError(f"{place} is a {kind}, which a {ending} output does not replace; remove it yourself")
        if place.is_dir() and not is_zarr(place) and any(place.iterdir()):
            raise FileWriteError(f"{place} is a folder with other things than a zarr image; remove it yourself")
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise FileWriteError(f"{place}: no permission to write into {place.parent}; choose another folder")


@contextmanager
def staged_output(
    path: str | PathLike[str],
    *,
    shape: Sequence[int],
    axes: str,
    dtype: Any,
    chunks: Sequence[int],
    voxel_size_um: Sequence[float] | None = None,
    channel_names: Sequence[str] = (),
    labels: bool = False,
    overwrite: bool = False,
) -> Iterator[zarr.Array[Any]]:
    """Yield an array to write into region by region; it becomes ``path`` when the block ends without an exception.

    ``.zarr`` becomes an OME-Zarr 0.5 image with its array at ``0``; ``.tif`` and ``.tiff`` become an OME-TIFF, streamed
    tile by tile. Until then everything lies beside ``path`` under a temporary name. After any exception that is gone
    again, and what was at ``path`` before is as it was.

    Parameters
    ----------
    path : path-like
        The output.
    shape, axes, dtype
        Of the array; ``axes`` is a subset of ``TCZYX`` in that order.
    chunks : sequence of int
        Regions that are written at once. Regions that lie in different ones of these may be written at the same time.
    voxel_size_um : sequence of float, optional
        One per spatial axis.
    channel_names : sequence of str, optional
        One per channel.
    labels : bool
        The pixels are ids of objects: marked so in OME-Zarr, stored as uint16 or uint32 in OME-TIFF.
    overwrite : bool
        Replace what is at ``path``, after the new output is complete.

    Raises
    ------
    OutputExistsError, FileWriteError
        As ``check_output``; for a pixel type that the format does not have; when the disk is full or refuses.
    AxesError, EmptyImageError, ChannelError, PixelTypeError
        For a description that does not fit together.
    """
    place = Path(path)
    check_output(place, overwrite)
    described = Description(
        shape=tuple(shape),
        axes=axes,
        dtype=np.dtype(dtype),
        chunks=tuple(chunks),
        voxel_size_um=None if voxel_size_um is None else tuple(voxel_size_um),
        channel_names=tuple(channel_names),
        labels=labels,
    )
    stage = _staged_tiff if _ending(place) in _TIFF_ENDINGS else _staged_zarr
    with stage(place, described, overwrite) as array:
        yield array


def write_array(
    path: str | PathLike[str],
    array: Any,
    axes: str,
    *,
    voxel_size_um: Sequence[float] | None = None,
    channel_names: Sequence[str] = (),
    labels: bool = False,
    overwrite: bool = False,
) -> None:
    """Write an array, block by block when it is lazy, as OME-Zarr or OME-TIFF.

    Parameters
    ----------
    path : path-like
        The output; its ending says which.
    array : numpy.ndarray, dask.array.Array, zarr.Array
        The pixels. Booleans are written as uint8.
    axes : str
        The array's axes, letters of ``TCZYX`` in any order.
    voxel_size_um, channel_names, labels, overwrite
        As for ``staged_output``; voxel sizes in the order ZYX.

    Raises
    ------
    OutputExistsError, FileWriteError, AxesError, EmptyImageError, ChannelError, PixelTypeError
        As ``staged_output``.
    """
    pixels = as_lazy(array)
    letters = check_axes(axes, pixels.shape)
    order = canonical_order(letters)
    ordered = pixels if order == letters else pixels.transpose(permutation(letters, order))
    dtype = np.dtype(np.uint8) if ordered.dtype.kind == "b" else np.dtype(ordered.dtype).newbyteorder("=")
    chunks = default_chunks(ordered.shape, order)
    options: dict[str, Any] = {"voxel_size_um": voxel_size_um, "channel_names": channel_names, "labels": labels}
    with staged_output(
        path, shape=ordered.shape, axes=order, dtype=dtype, chunks=chunks, overwrite=overwrite, **options
    ) as out:
        for box in boxes(merge_chunks(chunks_of(out), _BLOCK_ELEMENTS)):
            out[box] = np.asarray(ordered[box]).astype(dtype, copy=False)


@contextmanager
def _staged_zarr(path: Path, described: Description, overwrite: bool) -> Iterator[zarr.Array[Any]]:
    temporary = temporary_name(path, "partial")
    try:
        with named_errors(path, DISK_ERRORS + PERMISSION_ERRORS):
            temporary.mkdir()
            array = create_ome_zarr(temporary, described)
        with named_errors(path, DISK_ERRORS):
            yield array
        with named_errors(path, DISK_ERRORS + PERMISSION_ERRORS):
            publish(temporary, path, overwrite)
    finally:
        # After success there is nothing of this name any more; what cannot be removed must not hide the first error.
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _staged_tiff(path: Path, described: Description, overwrite: bool) -> Iterator[zarr.Array[Any]]:
    if not described.labels and described.dtype.name not in TIFF_TYPES:
        raise FileWriteError(
            f"{path}: OME-TIFF has no pixels of type {described.dtype}; write .ome.zarr, or convert them first"
        )
    temporary = temporary_name(path, "partial")
    finished = temporary_name(path, "partial.tif")
    try:
        with named_errors(path, DISK_ERRORS + PERMISSION_ERRORS):
            temporary.mkdir()
            array = create_staging(temporary, described)
        with named_errors(path, DISK_ERRORS):
            yield array
        with named_errors(path, DISK_ERRORS + PERMISSION_ERRORS):
            write_ome_tiff(finished, array, described)
            publish(finished, path, overwrite)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        finished.unlink(missing_ok=True)


def _ending(path: Path) -> str:
    name = path.name.lower()
    for ending in (*_ZARR_ENDINGS, *_TIFF_ENDINGS):
        if name.endswith(ending) and len(name) > len(ending):
            return ending
    raise FileWriteError(f"{path}: an output ends in .ome.zarr, .zarr, .ome.tif, .tif or .tiff; choose such a name")
