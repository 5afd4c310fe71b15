"""Open an image of any readable kind, by what it is rather than by how its name ends."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from napari_seamless.errors import FileReadError
from napari_seamless.images.image import Image
from napari_seamless.images.read_folder import open_folder
from napari_seamless.images.read_raster import is_raster, open_raster
from napari_seamless.images.read_tiff import is_tiff, open_tiff
from napari_seamless.images.read_zarr import is_zarr, open_zarr

_FILE_ENDINGS = (".tif", ".tiff", ".tf2", ".tf8", ".btf", ".lsm", ".png", ".jpg", ".jpeg")

readable_endings: tuple[str, ...] = (".zarr", *_FILE_ENDINGS)
"""Endings of files and folders that can be opened, in small letters; folders of slices come without one."""

_KINDS = "TIFF (plain, ImageJ, OME-TIFF, BigTIFF), OME-Zarr, zarr, PNG, JPEG, or a folder of slices"


def open_image(path: str | PathLike[str], axes: str | None = None) -> Image:
    """Open an image lazily: metadata now, pixels when they are sliced.

    Parameters
    ----------
    path : path-like
        A TIFF file of any kind, an OME-Zarr image (``image.ome.zarr``, also ``image.ome.zarr/labels/name`` or one of
        its arrays), a zarr array, a PNG or JPEG file, or a folder of such files, one slice each.
    axes : str, optional
        Letters of ``TCZYXS`` for the axes of the array in the file, in the file's order, when the file does not say
        what they are or is wrong. For a folder the first letter counts files.

    Returns
    -------
    Image
        Axes in the order TCZYXS. No file stays open; slices may be read from several threads.

    Raises
    ------
    FileReadError
        For a path that is missing, damaged, cut off, or of a kind that cannot be read. Damage that only decoding can
        show is raised by the slicing that meets it.
    AxesError
        When ``axes`` does not fit, or the file does not tell enough.
    """
    place = Path(path)
    try:
        return _open(place, axes)
    except FileReadError:
        raise
    except OSError as error:
        raise FileReadError(f"{place} cannot be read: {error.strerror or error}") from error


def _open(path: Path, axes: str | None) -> Image:
    if not path.exists():
        raise FileReadError(f"{path} does not exist; check its name and place")
    if path.is_dir():
        if is_zarr(path):
            return open_zarr(path, axes)
        if path.name.lower().endswith(".zarr"):
            raise FileReadError(f"{path} is damaged or not complete: a zarr folder without its metadata; copy it again")
        return open_folder(path, _FILE_ENDINGS, _open_file, axes)
    return _open_file(path, axes)


def _open_file(path: Path, axes: str | None = None) -> Image:
    if is_tiff(path):
        return open_tiff(path, axes)
    if is_raster(path):
        return open_raster(path, axes)
    if path.stat().st_size == 0:
        raise FileReadError(f"{path} is empty; copy it again from where it came from")
    if path.name.lower().endswith(_FILE_ENDINGS):
        raise FileReadError(f"{path} is damaged: its first bytes are not those of a {path.suffix} file; copy it again")
    raise FileReadError(
        f"{path} is of a kind that is not read; what is read: {_KINDS}. "
        "Save it as OME-TIFF, for example with Fiji (Bio-Formats) or napari"
    )
