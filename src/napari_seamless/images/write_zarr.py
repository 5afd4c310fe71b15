"""OME-Zarr 0.5: the group, its metadata, and the array that is written region by region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from napari_seamless.images.axes import spatial_axes

_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}


def create_ome_zarr(
    folder: Path,
    *,
    name: str,
    shape: Sequence[int],
    axes: str,
    dtype: np.dtype[Any],
    chunks: Sequence[int],
    voxel_size_um: Sequence[float] | None,
    channel_names: Sequence[str],
    labels: bool,
) -> zarr.Array[Any]:
    """Create an OME-Zarr 0.5 image in an empty folder and return its array, at ``0`` below the folder.

    Chunks that are zero throughout take no space.

    Parameters
    ----------
    folder : pathlib.Path
        Becomes the image's group.
    name : str
        The image's name in the metadata.
    shape, axes, dtype, chunks
        Of the array; ``axes`` is a subset of ``TCZYX`` in that order.
    voxel_size_um : sequence of float or None
        One per spatial axis.
    channel_names : sequence of str
        One per channel, or none.
    labels : bool
        Mark the image as a label image.
    """
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [_multiscale(name, axes, voxel_size_um)]}
    if labels:
        ome["image-label"] = {"version": "0.5"}
    elif channel_names:
        ome["omero"] = {"channels": [_channel(channel, dtype) for channel in channel_names]}
    group = zarr.open_group(folder, mode="a", zarr_format=3, attributes={"ome": ome})
    array: zarr.Array[Any] = group.create_array(
        "0",
        shape=tuple(shape),
        chunks=tuple(min(length, side) for length, side in zip(shape, chunks, strict=True)),
        dtype=dtype,
        fill_value=0,
        dimension_names=list(axes.lower()),
        # Smaller than Blosc on labels, higher levels gain nothing, and a chunk that was damaged does not decode.
        compressors=ZstdCodec(level=1, checksum=True),
    )
    return array


def _multiscale(name: str, axes: str, voxel_size_um: Sequence[float] | None) -> dict[str, Any]:
    sizes = dict(zip(spatial_axes(axes), voxel_size_um or (), strict=False))
    return {
        "name": name,
        "axes": [
            {"name": axis.lower(), "type": _TYPES[axis]} | ({"unit": "micrometer"} if axis in sizes else {})
            for axis in axes
        ],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [float(sizes.get(axis, 1.0)) for axis in axes]}
                ],
            }
        ],
    }


def _channel(name: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    low, high = (0.0, 1.0) if dtype.kind == "f" else (0.0, float(2 ** (8 * dtype.itemsize) - 1))
    window = {"min": low, "max": high, "start": low, "end": high}
    return {"label": name, "color": "FFFFFF", "active": True, "family": "linear", "window": window}


def default_chunks(shape: Sequence[int], axes: str) -> tuple[int, ...]:
    """Return chunks of about a million pixels: 1024 x 1024, or 16 x 256 x 256 where there is a Z axis."""
    sides = {"Z": 16, "Y": 256, "X": 256} if "Z" in axes else {"Y": 1024, "X": 1024}
    return tuple(max(1, min(length, sides.get(axis, 1))) for axis, length in zip(axes, shape, strict=True))
