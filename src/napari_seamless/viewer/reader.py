"""Drag and drop: any file or folder that the core reads becomes layers, lazily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.viewer.layers import METADATA_KEY

if TYPE_CHECKING:
    import dask.array as da

    from napari_seamless.images.image import Image

LayerData = tuple[Any, dict[str, Any], str]
ReadFunction = Callable[[str | Sequence[str]], list[LayerData]]

_EDITABLE_BYTES = 2**26
"""Label images up to this size are read at once, so that they can be painted on; larger ones are shown lazily."""

_COLOUR_OF_STAIN = {
    "dapi": "blue",
    "hoechst": "blue",
    "gfp": "green",
    "fitc": "green",
    "alexa488": "green",
    "rfp": "red",
    "mcherry": "red",
    "tritc": "red",
    "cy3": "yellow",
    "yfp": "yellow",
    "cfp": "cyan",
    "cy5": "magenta",
    "brightfield": "gray",
    "phase": "gray",
    "dic": "gray",
}
_COLOURS = ("green", "magenta", "cyan", "yellow", "red", "blue")


def get_reader(path: str | Sequence[str]) -> ReadFunction | None:
    """Return the function that reads `path`, or None for what is left to other readers.

    Files are told by their ending; a folder may hold slices, so it is told when it is opened. Several files at once,
    to be stacked, are left to napari: a folder of them is opened here.
    """
    from napari_seamless.images.read import readable_endings

    if not isinstance(path, str):
        return None
    is_readable = Path(path).is_dir() or path.lower().endswith(readable_endings)
    return read_layers if is_readable else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Open an image and return a layer per channel, and its label images if it is an OME-Zarr that has some.

    Raises
    ------
    SeamlessError
        As `napari_seamless.open_image` raises it; napari shows the message.
    """
    from napari_seamless.images.read import open_image

    place = Path(str(path))
    image = open_image(place)
    if is_label_image(place, image):
        return [_labels_layer(image, name_of(place))]
    return [*image_layers(image, name_of(place)), *_labels_inside(place)]


def name_of(path: Path) -> str:
    """Return a file's name without its ending, also without ``.ome``."""
    name = path.name
    for ending in (path.suffix, ".ome"):
        if ending and name.lower().endswith(ending.lower()) and len(name) > len(ending):
            name = name[: -len(ending)]
    return name


def image_layers(image: Image, name: str) -> list[LayerData]:
    """Return one layer for an image, or one per channel with colours that add up."""
    levels = image.pyramid or (image.data,)
    common = _placement(image) | {"multiscale": len(levels) > 1, "rgb": "S" in image.axes}
    origin = {"path": str(image.path)}
    if "C" not in image.axes:
        return [(_as_data(levels), common | {"name": name, "metadata": {METADATA_KEY: origin}}, "image")]
    axis, n_channels = image.axes.index("C"), image.sizes["C"]
    colours = _colours(image.channel_names)
    layers: list[LayerData] = []
    for channel, channel_name in enumerate(image.channel_names):
        part = tuple(level[(slice(None),) * axis + (channel,)] for level in levels)
        several = {"channels_of": str(image.path), "channel": channel} if n_channels > 1 else {}
        look = {
            "name": f"{name} · {channel_name}" if n_channels > 1 else name,
            "colormap": colours[channel] if n_channels > 1 else "gray",
            "blending": "additive" if channel else "translucent_no_depth",
            "metadata": {METADATA_KEY: origin | several},
        }
        layers.append((_as_data(part), common | look, "image"))
    return layers


def is_label_image(path: Path, image: Image) -> bool:
    """Whether an OME-Zarr says of itself that it holds labels."""
    return "image-label" in ome_metadata(path) and np.issubdtype(image.dtype, np.integer) and "C" not in image.axes


def ome_metadata(path: Path) -> dict[str, Any]:
    """Return the OME metadata of a zarr group; nothing for anything else."""
    import zarr
    from zarr.errors import GroupNotFoundError

    from napari_seamless.images.read_zarr import is_zarr

    if not path.is_dir() or not is_zarr(path):
        return {}
    try:
        attributes: dict[str, Any] = dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)
    except (GroupNotFoundError, zarr.errors.ContainsArrayError):
        return {}
    found: dict[str, Any] = attributes.get("ome", attributes)
    return found


def _labels_inside(path: Path) -> list[LayerData]:
    from napari_seamless.images.read import open_image

    names = ome_metadata(path / "labels").get("labels") or ()
    return [_labels_layer(open_image(path / "labels" / str(name)), str(name)) for name in names]


def _labels_layer(image: Image, name: str) -> LayerData:
    is_small = image.nbytes <= _EDITABLE_BYTES
    levels = (image.data.compute(),) if is_small else image.pyramid or (image.data,)
    look = {"name": name, "multiscale": len(levels) > 1, "metadata": {METADATA_KEY: {"path": str(image.path)}}}
    return _as_data(levels), _placement(image) | look, "labels"


def _as_data(levels: Sequence[da.Array]) -> Any:
    return list(levels) if len(levels) > 1 else levels[0]


def _placement(image: Image) -> dict[str, Any]:
    """Return axis labels, and where the file knows the voxel size, scale and units, over all axes but C and S."""
    axes = image.axes.replace("C", "").replace("S", "")
    placement: dict[str, Any] = {"axis_labels": tuple(axes.lower())}
    if image.voxel_size_um is not None:
        sizes = dict(zip(image.spatial_axes, image.voxel_size_um, strict=True))
        placement["scale"] = tuple(sizes.get(axis, 1.0) for axis in axes)
        placement["units"] = tuple("micrometer" if axis in sizes else "pixel" for axis in axes)
    return placement


def _colours(channel_names: Sequence[str]) -> list[str]:
    """Return a colour per channel: that of its stain when the name tells, else one that no other channel has."""
    known = [_COLOUR_OF_STAIN.get(name.lower().replace(" ", "").replace("-", "")) for name in channel_names]
    free = [colour for colour in _COLOURS if colour not in known]
    unknown = iter(range(len(channel_names)))
    return [colour or (free or _COLOURS)[next(unknown) % len(free or _COLOURS)] for colour in known]
