"""What TIFF files say about their axes, voxel sizes and channels: OME-XML, ImageJ's description, LSM, plain tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import tifffile

from napari_seamless.errors import AxesError
from napari_seamless.images.axes import CANONICAL_AXES, spatial_axes
from napari_seamless.images.units import micrometres

_COARSEST_PIXEL_UM = 10.0
"""Plain TIFF tags state a resolution for printing, 72 to 2400 dots per inch, unless a pixel is smaller than this."""


def resolve_axes(file_axes: str, path: object) -> str:
    """Return axis letters of ``TCZYXS`` for the letters that tifffile gives, in the file's order.

    An axis without a known meaning becomes Z; two of them T and Z. When these are taken, the next free of Z, T, C.

    Raises
    ------
    AxesError
        For three or more axes without a known meaning.
    """
    unknown = [letter for letter in file_axes if letter not in CANONICAL_AXES]
    free = [letter for letter in "ZTC" if letter not in file_axes]
    if len(unknown) > min(2, len(free)):
        raise AxesError(
            f"{path} does not say what its axes are (tifffile: {file_axes}); open it with axes=, for example "
            f"axes={('TCZYX' + 'S' * ('S' in file_axes))[-len(file_axes) :]!r}"
        )
    chosen = sorted(free[: len(unknown)], key=CANONICAL_AXES.index)
    return "".join(letter if letter in CANONICAL_AXES else chosen.pop(0) for letter in file_axes)


def voxel_size(tif: tifffile.TiffFile, axes: str) -> tuple[float, ...] | None:
    """Return micrometres per step of each spatial axis of ``axes`` in ZYX order, None when one of them is unknown."""
    if tif.is_ome:
        sizes = _ome_sizes(tif)
    elif tif.is_imagej:
        sizes = _imagej_sizes(tif.imagej_metadata or {}, tif.pages.first)
    elif tif.is_lsm:
        sizes = {axis: micrometres((tif.lsm_metadata or {}).get(f"VoxelSize{axis}"), "m") for axis in "ZYX"}
    else:
        sizes = _tag_sizes(tif.pages.first)
    found = [sizes.get(axis) for axis in spatial_axes(axes)]
    return tuple(size for size in found if size is not None) if None not in found else None


def channel_names(tif: tifffile.TiffFile, n_channels: int) -> tuple[str, ...]:
    """Return the channels' names, or none when the file does not name each of them."""
    if not n_channels:
        return ()
    if tif.is_ome:
        channels = _children(_ome_pixels(tif), "Channel")
        names = [channel.get("Name") or f"channel {index}" for index, channel in enumerate(channels)]
        named = any(channel.get("Name") for channel in channels)
        return tuple(names) if named and len(names) == n_channels else ()
    if tif.is_imagej:
        labels = (tif.imagej_metadata or {}).get("Labels") or []
        return tuple(str(label) for label in labels) if len(labels) == n_channels else ()
    return ()


def _ome_pixels(tif: tifffile.TiffFile) -> ElementTree.Element | None:
    try:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    except ElementTree.ParseError:
        return None  # tifffile reads such a file as a plain one, and so it has no sizes and names
    images = _children(root, "Image")
    pixels = _children(images[0], "Pixels") if images else []
    return pixels[0] if pixels else None


def _children(element: ElementTree.Element | None, name: str) -> list[ElementTree.Element]:
    # Every OME schema has its own namespace; the names within are the same.
    return [] if element is None else [child for child in element if child.tag.rpartition("}")[2] == name]


def _ome_sizes(tif: tifffile.TiffFile) -> dict[str, float | None]:
    pixels = _ome_pixels(tif)
    if pixels is None:
        return {}
    return {
        axis: micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
    }


def _imagej_sizes(metadata: Mapping[str, Any], page: tifffile.TiffPage) -> dict[str, float | None]:
    unit = str(metadata.get("unit", ""))
    sizes = {axis: micrometres(_per_pixel(page, axis), str(metadata.get(f"{axis.lower()}unit", unit))) for axis in "YX"}
    # ImageJ leaves a spacing of exactly 1 out.
    return {"Z": micrometres(metadata.get("spacing", 1.0), str(metadata.get("zunit", unit))), **sizes}


def _tag_sizes(page: tifffile.TiffPage) -> dict[str, float | None]:
    units = {2: "inch", 3: "cm"}
    tag = page.tags.get("ResolutionUnit")
    unit = units.get(int(tag.value)) if tag is not None else None
    sizes = {axis: micrometres(_per_pixel(page, axis), unit) for axis in "YX"}
    return {axis: size for axis, size in sizes.items() if size is not None and size < _COARSEST_PIXEL_UM}


def _per_pixel(page: tifffile.TiffPage, axis: str) -> float | None:
    tag = page.tags.get(f"{axis}Resolution")
    if tag is None:
        return None
    numerator, denominator = tag.value
    return denominator / numerator if numerator else None
