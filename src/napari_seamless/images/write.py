"""Write images so that a file is there complete or not at all: under a temporary name beside it, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_seamless.errors import AxesError, ChannelError, FileWriteError, OutputExistsError, SeamlessError
from napari_seamless.images.axes import canonical_order, check_axes, permutation
from napari_seamless.images.blocks import boxes, chunks_of, merge_chunks
from napari_seamless.images.image import as_lazy, check_pixel_type, checked_channel_names, checked_voxel_size
from napari_seamless.images.read_zarr import is_zarr
from napari_seamless.images.write_tiff import TIFF_TYPES, create_staging, write_ome_tiff
from napari_seamless.images.write_zarr import create_ome_zarr, default_chunks

_TIFF_ENDINGS = (".tif", ".tiff")
_ZARR_ENDINGS = (".zarr",)
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_PERMISSION_ERRORS = (errno.EACCES, errno.EPERM)
_BLOCK_ELEMENTS = 2**22
_FILES_TO_SYNC_ONE_BY_ONE = 256


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
    shape : sequence of int
        Shape of the array.
    axes : str
        Its axes: a subset of ``TCZYX`` in that order.
    dtype : dtype-like
        Its pixel type.
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
        As ``check_output``, and when the disk is full or refuses.
    AxesError, EmptyImageError, ChannelError, PixelTypeError
        For a description that does not fit together.
    """
    place = Path(path)
    check_output(place, overwrite)
    is_tiff = _ending(place) in _TIFF_ENDINGS
    pixel_type = np.dtype(dtype)
    names = _check_description(place, shape, axes, pixel_type, chunks, voxel_size_um, channel_names, labels)
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}.partial")
    finished = temporary.with_name(temporary.name + ".tif") if is_tiff else temporary
    about: dict[str, Any] = {"voxel_size_um": voxel_size_um, "channel_names": names, "labels": labels}
    about |= {"name": place.name.split(".")[0] or place.name, "axes": axes}
    try:
        with _named_errors(place, _DISK_ERRORS + _PERMISSION_ERRORS):
            temporary.mkdir()
            if is_tiff:
                array = create_staging(temporary, shape, pixel_type, chunks)
            else:
                array = create_ome_zarr(temporary, shape=shape, dtype=pixel_type, chunks=chunks, **about)
        with _named_errors(place, _DISK_ERRORS):
            yield array
        with _named_errors(place, _DISK_ERRORS + _PERMISSION_ERRORS):
            if is_tiff:
                write_ome_tiff(finished, array, **about)
            _flush(finished)
            _publish(finished, place, overwrite)
    finally:
        # After success, of a zarr output nothing is left under this name; after a failure this is all there is.
        shutil.rmtree(temporary, ignore_errors=True)
        if is_tiff:
            finished.unlink(missing_ok=True)


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
    lazy = as_lazy(array)
    letters = check_axes(axes, lazy.shape)
    order = canonical_order(letters)
    ordered = lazy if order == letters else lazy.transpose(permutation(letters, order))
    dtype = np.dtype(np.uint8) if ordered.dtype.kind == "b" else np.dtype(ordered.dtype).newbyteorder("=")
    chunks = default_chunks(ordered.shape, order)
    options: dict[str, Any] = {"voxel_size_um": voxel_size_um, "channel_names": channel_names, "labels": labels}
    with staged_output(
        path, shape=ordered.shape, axes=order, dtype=dtype, chunks=chunks, overwrite=overwrite, **options
    ) as out:
        for box in boxes(merge_chunks(chunks_of(out), _BLOCK_ELEMENTS)):
            out[box] = np.asarray(ordered[box]).astype(dtype, copy=False)


def _check_description(
    path: Path,
    shape: Sequence[int],
    axes: str,
    dtype: np.dtype[Any],
    chunks: Sequence[int],
    voxel_size_um: Sequence[float] | None,
    channel_names: Sequence[str],
    labels: bool,
) -> tuple[str, ...]:
    """Raise when the parts do not fit each other; return the channel names to write."""
    letters = check_axes(axes, shape)
    if letters != canonical_order(letters) or letters != axes:
        raise AxesError(f"output axes {axes!r} are not in the order TCZYX")
    if "S" in axes:
        raise AxesError(f"output axes {axes!r}: colour samples are written as channels; name that axis C, before Y")
    if len(chunks) != len(shape) or min(chunks) < 1:
        raise AxesError(f"chunks {tuple(chunks)} for an array of shape {tuple(shape)}: give one length per axis")
    check_pixel_type(dtype)
    if labels and dtype.kind not in "ui":
        raise FileWriteError(f"{path}: labels are integers, found {dtype}; convert them first")
    if not labels and _ending(path) in _TIFF_ENDINGS and dtype.name not in TIFF_TYPES:
        raise FileWriteError(f"{path}: OME-TIFF has no pixels of type {dtype}; write .ome.zarr, or convert them first")
    if channel_names and "C" not in axes:
        raise ChannelError(f"channel names {tuple(channel_names)} for an output without an axis C (axes {axes})")
    checked_voxel_size(voxel_size_um, axes)
    return checked_channel_names(channel_names, shape[axes.index("C")]) if channel_names else ()


def _ending(path: Path) -> str:
    name = path.name.lower()
    for ending in (*_ZARR_ENDINGS, *_TIFF_ENDINGS):
        if name.endswith(ending) and len(name) > len(ending):
            return ending
    raise FileWriteError(f"{path}: an output ends in .ome.zarr, .zarr, .ome.tif, .tif or .tiff; choose such a name")


@contextmanager
def _named_errors(path: Path, numbers: Sequence[int]) -> Iterator[None]:
    """Turn what a disk refuses into one clear error. Other errors of the operating system pass: they are the work's."""
    try:
        yield
    except SeamlessError:
        raise
    except OSError as error:
        if error.errno not in numbers:
            raise
        raise FileWriteError(
            f"{path} cannot be written: {error.strerror}; make room, or choose another disk or folder"
        ) from error


def _publish(finished: Path, path: Path, overwrite: bool) -> None:
    """Give the finished output its name; what had the name before goes only after that."""
    if not os.path.lexists(path):
        finished.rename(path)
    elif not overwrite:
        raise OutputExistsError(f"{path} appeared while the output was being made; choose another name")
    elif finished.is_file():
        finished.replace(path)
    else:
        _swap_folders(finished, path)
    _flush_folder(path.parent)


def _swap_folders(finished: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.old")
    path.rename(old)
    try:
        finished.rename(path)
    except BaseException:
        old.rename(path)
        raise
    if old.is_symlink():
        old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)


def _flush(output: Path) -> None:
    """Bring the output to the disk before it gets its name, so that a power cut leaves the old or the new one."""
    files = [output] if output.is_file() else [file for file in output.rglob("*") if file.is_file()]
    if len(files) > _FILES_TO_SYNC_ONE_BY_ONE and hasattr(os, "sync"):
        os.sync()
        return
    for file in files:
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # elsewhere folders cannot be opened, and renaming is written through
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
