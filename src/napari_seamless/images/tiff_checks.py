"""Signs of a TIFF file that is cut off or damaged, which tifffile passes over."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import tifffile

from napari_seamless.errors import FileReadError

_BYTES_PER_TYPE = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_FIRST_PRIVATE_TAG = 32768
_IMAGEJ_TAGS = (50838, 50839)


def check_complete(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuse a file that ends too early, as far as its structure shows it.

    Raises
    ------
    FileReadError
        When tags, pages or planes that the file announces are not there.
    """
    _check_tags(path, tif)
    _check_page_chain(path, tif)
    _check_imagej_planes(path, tif, series)


def _check_tags(path: Path, tif: tifffile.TiffFile) -> None:
    """Look for values of the first page's tags beyond the end: tifffile drops such tags, OME-XML and palette included.

    Private tags of which nothing is used here may be as wrong as they like.
    """
    if tif.is_ndpi:
        return  # has offsets of a form of its own
    size = path.stat().st_size
    count_format, entry_format, inline = ("Q", "HHQQ", 8) if tif.is_bigtiff else ("H", "HHII", 4)
    order = tif.byteorder
    with path.open("rb") as file:
        file.seek(tif.pages.first.offset)
        (count,) = struct.unpack(order + count_format, file.read(struct.calcsize(order + count_format)))
        length = struct.calcsize(order + entry_format)
        entries = file.read(count * length)
    if len(entries) < count * length:
        raise FileReadError(f"{path} is cut off within its first page's tags; copy it again")
    for code, kind, number, offset in struct.iter_unpack(order + entry_format, entries):
        nbytes = number * _BYTES_PER_TYPE.get(kind, 1)
        matters = code < _FIRST_PRIVATE_TAG or code in _IMAGEJ_TAGS
        if matters and nbytes > inline and offset + nbytes > size:
            raise FileReadError(f"{path} is cut off: the value of its tag {code} ends beyond the file; copy it again")


def _check_page_chain(path: Path, tif: tifffile.TiffFile) -> None:
    """Look whether the last page found points to a further one that is not there."""
    position = tif.pages.next_page_offset
    if position is None:
        return
    size = tif.tiff.offsetsize
    with path.open("rb") as file:
        file.seek(position)
        pointer = file.read(size)
    if len(pointer) < size or struct.unpack(tif.tiff.offsetformat, pointer)[0] != 0:
        raise FileReadError(
            f"{path} is cut off or damaged after page {len(tif.pages)}: further pages are announced and not there; "
            "copy it again"
        )


def _check_imagej_planes(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Look whether a hyperstack is shorter than its description says."""
    metadata = tif.imagej_metadata or {}
    announced = math.prod(int(metadata.get(name, 1)) for name in ("frames", "slices", "channels"))
    found = math.prod(series.shape) // math.prod(tif.pages.first.shape[:2])
    if found < announced:
        raise FileReadError(f"{path} is cut off: ImageJ announces {announced} planes, {found} are there; copy it again")
