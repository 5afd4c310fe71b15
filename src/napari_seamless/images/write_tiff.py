"""OME-TIFF, streamed tile by tile out of a zarr array."""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from napari_seamless.errors import FileWriteError
from napari_seamless.images.axes import spatial_axes
from napari_seamless.images.blocks import boxes, chunks_of, merge_chunks
from napari_seamless.images.description import Description

_TILE = 512
_TILE_STEP = 16
_SHORTEST_SIDE = 64
_BAND_BYTES = 32 * 2**20
_BIG_BYTES = 2**31
_SCAN_ELEMENTS = 2**22

TIFF_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Pixel types that OME-TIFF has."""


def write_ome_tiff(path: Path, staged: zarr.Array[Any], described: Description) -> None:
    """Write a zarr array as a zlib-compressed OME-TIFF in tiles; BigTIFF from 2 GB of pixels on.

    Memory is bounded by a band of tiles, whatever the image's size.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    staged : zarr.Array
        The pixels.
    described : Description
        What the image is. Labels are stored as uint16, or as uint32 where the largest id needs it.

    Raises
    ------
    FileWriteError
        For labels below 0 or beyond 32 bits.
    """
    dtype = _label_type(staged) if described.labels else described.dtype
    tile = tuple(min(_TILE, math.ceil(length / _TILE_STEP) * _TILE_STEP) for length in staged.shape[-2:])
    nbytes = math.prod(staged.shape) * dtype.itemsize
    with tifffile.TiffWriter(path, ome=True, bigtiff=nbytes >= _BIG_BYTES) as writer:
        writer.write(
            _tiles(staged, tile, dtype),
            shape=staged.shape,
            dtype=dtype,
            tile=tile,
            photometric="minisblack",
            compression="zlib",
            metadata=_metadata(described),
        )


def _metadata(described: Description) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": described.axes, "Name": described.kind}
    for axis, size in zip(spatial_axes(described.axes), described.voxel_size_um or (), strict=False):
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    if described.channel_names:
        metadata["Channel"] = {"Name": list(described.channel_names)}
    # By default the UUID holds the time, and the same labels would never make the same file twice.
    metadata["UUID"] = str(uuid.uuid5(uuid.NAMESPACE_URL, repr((metadata, described.shape))))
    return metadata


def _tiles(staged: zarr.Array[Any], tile: Sequence[int], dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    height, width = staged.shape[-2:]
    # Whole tiles side by side, as many as may be in memory at once.
    band = max(1, _BAND_BYTES // (math.prod(tile) * dtype.itemsize)) * tile[1]
    for plane in np.ndindex(*staged.shape[:-2]):
        for top, left in itertools.product(range(0, height, tile[0]), range(0, width, band)):
            pixels = np.asarray(staged[(*plane, slice(top, top + tile[0]), slice(left, left + band))])
            for start in range(0, pixels.shape[1], tile[1]):
                yield np.ascontiguousarray(pixels[:, start : start + tile[1]], dtype)


def _label_type(staged: zarr.Array[Any]) -> np.dtype[Any]:
    lowest, highest = 0, 0
    for box in boxes(merge_chunks(chunks_of(staged), _SCAN_ELEMENTS)):
        block = np.asarray(staged[box])
        lowest, highest = min(lowest, int(block.min())), max(highest, int(block.max()))
    if lowest < 0 or highest >= 2**32:
        raise FileWriteError(f"labels are 0 to {2**32 - 1} in OME-TIFF, found {lowest} to {highest}; write .ome.zarr")
    return np.dtype(np.uint16 if highest < 2**16 else np.uint32)


def create_staging(folder: Path, described: Description) -> zarr.Array[Any]:
    """Create a temporary zarr array to collect the pixels in: in single planes, which is how they are read again.

    Its chunks divide those described, so regions that do not share one of these do not share one of its own.
    """
    array: zarr.Array[Any] = zarr.create_array(
        folder,
        shape=described.shape,
        chunks=_staging_chunks(described),
        dtype=described.dtype,
        fill_value=0,
        compressors=ZstdCodec(level=1),
        # All chunks in one folder: a folder for each index would take longer to remove than to fill.
        chunk_key_encoding={"name": "default", "separator": "."},
    )
    return array


def _staging_chunks(described: Description) -> tuple[int, ...]:
    sides = [math.gcd(side, _TILE) if side > 2 * _TILE else side for side in described.chunks[-2:]]
    kept = [side if side >= _SHORTEST_SIDE else whole for side, whole in zip(sides, described.chunks[-2:], strict=True)]
    planar = [min(side, length) for side, length in zip(kept, described.shape[-2:], strict=True)]
    return (1,) * (len(described.shape) - 2) + tuple(planar)
