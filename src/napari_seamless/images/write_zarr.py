"""OME-Zarr 0.5: the group, its metadata, and the array that is written region by region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from napari_seamless.images.axes import spatial_axes
from napari_seamless.images.description import Description

_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}


def create_ome_zarr(folder: Path, described: Description) -> zarr.Array[Any]:
    """Create an OME-Zarr 0.5 image in an empty folder and return its array, at ``0`` below the folder.

    Chunks that are zero throughout take no space.

    Parameters
    ----------
    folder : pathlib.Path
        Becomes the image's group.
    described : Description
        What the image is.
    """
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [_multiscale(described)]}
    if described.labels:
        ome["image-label"] = {"version": "0.5"}
    elif described.channel_names:
        ome["omero"] = {"channels": [_channel(name, described.dtype) for name in described.channel_names]}
    group = zarr.open_group(folder, mode="a", zarr_format=3, attributes={"ome": ome})
    array: zarr.Array[Any] = group.create_array(
        "0",
        shape=described.shape,
        chunks=described.fitting_chunks,
        dtype=described.dtype,
        fill_value=0,
        dimension_names=list(described.axes.lower()),
        # Smaller than Blosc on labels, higher levels gain nothing, and a chunk that was damaged does not decode.
        compressors=ZstdCodec(level=1, checksum=True),
    )
    return array


def _multiscale(described: Description) -> dict[str, Any]:
    sizes = dict(zip(spatial_axes(described.axes), described.voxel_size_um or (), strict=False))
    scale = [float(sizes.get(axis, 1.0)) for axis in described.axes]
    return {
        "name": described.kind,
        "axes": [
            {"name": axis.lower(), "type": _TYPES[axis]} | ({"unit": "micrometer"} if axis in sizes else {})
            for axis in described.axes
        ],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
    }


def _channel(name: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    low, high = (0.0, 1.0) if dtype.kind == "f" else (0.0, float(2 ** (8 * dtype.itemsize) - 1))
    window = {"min": low, "max": high, "start": low, "end": high}
    return {"label": name, "color": "FFFFFF", "active": True, "family": "linear", "window": window}


def default_chunks(shape: Sequence[int], axes: str) -> tuple[int, ...]:
    """Return chunks of about a million pixels: 1024 x 1024, or 16 x 256 x 256 where there is a Z axis."""
    sides = {"Z": 16, "Y": 256, "X": 256} if "Z" in axes else {"Y": 1024, "X": 1024}
    return tuple(max(1, min(length, sides.get(axis, 1))) for axis, length in zip(axes, shape, strict=True))
