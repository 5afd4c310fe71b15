"""Open OME-Zarr images (0.1 to 0.5) and plain zarr arrays (v2, v3)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_seamless.errors import AxesError, FileReadError, SeamlessError
from napari_seamless.images.axes import canonical_order, check_axes, spatial_axes
from napari_seamless.images.image import Image
from napari_seamless.images.sources import in_order, lazy
from napari_seamless.images.units import micrometres
from napari_seamless.images.zarr_pixels import ZarrSource

_MARKS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_AXES_OF_OLD_VERSIONS = "TCZYX"


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a zarr array or group."""
    return any((path / mark).is_file() for mark in _MARKS)


def open_zarr(path: Path, axes: str | None = None) -> Image:
    """Open an OME-Zarr image, one of its levels, or a plain zarr array lazily.

    A plain array has the axes of its dimension names; without them YX, ZYX (YXS for uint8 with 3 or 4 last), CZYX and
    TCZYX for 2, 3, 4 and 5 axes.

    Parameters
    ----------
    path : pathlib.Path
        The folder of an image group (also ``<image>/labels/<name>``) or of an array.
    axes : str, optional
        Letters for all axes of the array, instead of what the metadata say.

    Raises
    ------
    FileReadError
        For damaged or unknown metadata, and for groups that hold no image.
    AxesError
        When ``axes`` does not fit, or is needed.
    """
    try:
        with warnings.catch_warnings():
            # Of zarr's own making: about metadata that other programs keep beside the arrays.
            warnings.simplefilter("ignore")
            node = zarr.open(path, mode="r", use_consolidated=False)
            return _open_group(path, node, axes) if isinstance(node, zarr.Group) else _open_array(path, node, axes)
    except (SeamlessError, MemoryError):
        raise
    # zarr raises what its parsers meet in damaged metadata: KeyError, TypeError, ValueError, JSONDecodeError...
    except Exception as error:
        raise FileReadError(
            f"{path} is no zarr image that can be read, or is damaged: {type(error).__name__}: {error}"
        ) from error


def _open_array(path: Path, array: zarr.Array[Any], axes: str | None) -> Image:
    """Open an array by itself: as a level of the image around it where there is one."""
    parent = path.resolve().parent
    around = _metadata(zarr.open_group(parent, mode="r", use_consolidated=False)) if is_zarr(parent) else {}
    for scales in around.get("multiscales") or ():
        for dataset in scales.get("datasets") or ():
            if str(dataset.get("path")) == path.resolve().name:
                return _as_image(path, [array], around, {**scales, "datasets": [dataset]}, axes)
    return _as_image(path, [array], {}, {"axes": list(axes or _array_axes(path, array)), "datasets": [{}]}, axes)


def _array_axes(path: Path, array: zarr.Array[Any]) -> str:
    names: Any = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    letters = "".join(str(name)[:1].upper() for name in names if name)
    if len(letters) == array.ndim and len(set(letters)) == array.ndim and set(letters) <= set("TCZYXS"):
        return letters
    is_colour = array.ndim == 3 and array.dtype == np.uint8 and array.shape[-1] in (3, 4)
    guesses = {2: "YX", 3: "YXS" if is_colour else "ZYX", 4: "CZYX", 5: "TCZYX"}
    if array.ndim not in guesses:
        raise AxesError(f"{path} has {array.ndim} axes of shape {array.shape}; an image has 2 to 5: open it with axes=")
    return guesses[array.ndim]


def _open_group(path: Path, group: zarr.Group, axes: str | None) -> Image:
    ome = _metadata(group)
    if "multiscales" not in ome:
        if "bioformats2raw.layout" in ome:
            return open_zarr(path / "0", axes)
        raise FileReadError(_not_an_image(path, group, ome))
    scales = _multiscale(path, ome)
    return _as_image(path, [_level(path, group, dataset) for dataset in scales["datasets"]], ome, scales, axes)


def _as_image(
    path: Path, levels: list[zarr.Array[Any]], ome: Mapping[str, Any], scales: Mapping[str, Any], axes: str | None
) -> Image:
    file_axes, units = _named_axes(scales)
    letters = check_axes(axes or file_axes, levels[0].shape)
    order = canonical_order(letters)
    data = [lazy(in_order(ZarrSource(path, level), letters, order)) for level in levels]
    n_channels = data[0].shape[order.index("C")] if "C" in order else 0
    return Image(
        data=data[0],
        axes=order,
        voxel_size_um=_voxel_size(scales, letters, units) if letters == file_axes else None,
        channel_names=_channel_names(ome, n_channels),
        pyramid=tuple(data) if len(data) > 1 else (),
        path=path,
    )


def _metadata(group: zarr.Group) -> Mapping[str, Any]:
    """Return the OME metadata of a group: under ``ome`` since version 0.5, beside everything else before."""
    attributes: dict[str, Any] = dict(group.attrs)
    ome: Mapping[str, Any] = attributes.get("ome", attributes)
    return ome


def _multiscale(path: Path, ome: Mapping[str, Any]) -> Mapping[str, Any]:
    scales = ome["multiscales"]
    if not isinstance(scales, list) or not scales or not scales[0].get("datasets"):
        raise FileReadError(f"{path} is damaged: its multiscales metadata name no array")
    first: Mapping[str, Any] = scales[0]
    return first


def _level(path: Path, group: zarr.Group, dataset: Mapping[str, Any]) -> zarr.Array[Any]:
    name = str(dataset["path"])
    if name not in group:
        raise FileReadError(f"{path} is not complete: its metadata name the level {name!r}, which is not there")
    level = group[name]
    if not isinstance(level, zarr.Array):
        raise FileReadError(f"{path} is damaged: its level {name!r} is a group instead of an array")
    return level


def _named_axes(scales: Mapping[str, Any]) -> tuple[str, list[str | None]]:
    """Return the axis letters and units of a multiscale image of any version."""
    entries = scales.get("axes") or list(_AXES_OF_OLD_VERSIONS)
    named = [entry if isinstance(entry, Mapping) else {"name": entry} for entry in entries]
    letters = [str(entry["name"]).upper() for entry in named]
    kinds = {"TIME": "T", "CHANNEL": "C"}
    return "".join(kinds.get(letter, letter) for letter in letters), [entry.get("unit") for entry in named]


def _voxel_size(scales: Mapping[str, Any], axes: str, units: Sequence[str | None]) -> tuple[float, ...] | None:
    factors = [1.0] * len(axes)
    for holder in (scales["datasets"][0], scales):
        for step in holder.get("coordinateTransformations") or ():
            if step.get("type") == "scale" and len(step.get("scale", ())) == len(axes):
                factors = [factor * float(more) for factor, more in zip(factors, step["scale"], strict=True)]
    sizes = {axis: micrometres(factor, unit) for axis, factor, unit in zip(axes, factors, units, strict=True)}
    found = [sizes[axis] for axis in spatial_axes(axes)]
    return tuple(size for size in found if size is not None) if None not in found else None


def _channel_names(ome: Mapping[str, Any], n_channels: int) -> tuple[str, ...]:
    omero = ome.get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not n_channels or not isinstance(channels, list) or len(channels) != n_channels:
        return ()
    return tuple(str(channel.get("label", f"channel {index}")) for index, channel in enumerate(channels))


def _not_an_image(path: Path, group: zarr.Group, ome: Mapping[str, Any]) -> str:
    if "plate" in ome:
        return f"{path} is a plate of many images; open one field of it, for example {path / 'A' / '1' / '0'}"
    inside = ", ".join(sorted(group.keys())[:8]) or "nothing"
    return f"{path} is a zarr group without an image of its own; open what is in it: {inside}"
