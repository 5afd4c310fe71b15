"""Drag and drop: any file or folder that the core reads becomes layers, lazily."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.viewer.files.workspace_reader import is_workspace, look_for_corrections, read_workspace_layers
from napari_seamless.viewer.layers import METADATA_KEY
from napari_seamless.viewer.models.importing import is_model, read_model

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
    "488": "green",
    "rfp": "red",
    "cherry": "red",
    "tritc": "red",
    "cy3": "yellow",
    "yfp": "yellow",
    "cfp": "cyan",
    "cy5": "magenta",
    "brightfield": "gray",
    "transmi": "gray",
}
"""Part of a channel's name, without blanks and hyphens, and the colour that is customary for it."""

_COLOURS = ("green", "magenta", "cyan", "yellow", "red", "blue")


def get_reader(path: str | Sequence[str]) -> ReadFunction | None:
    """Return the function that reads `path`, or None for what is left to other readers.

    Files are told by their ending; a folder may hold slices, so it is told when it is opened. Several files at once,
    to be stacked, are left to napari: a folder of them is opened here.
    """
    from napari_seamless.images.read import readable_endings

    if not isinstance(path, str):
        return None
    if is_workspace(Path(path)):
        return read_workspace_layers
    if is_model(Path(path)):
        return read_model
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
    look_for_corrections(place)
    if is_label_image(place, image):
        return labels_layers(image, name_of(place))
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
    common = placement(image) | {"multiscale": len(levels) > 1, "rgb": "S" in image.axes}
    origin = {"path": str(image.path)}
    parts = _without_channels(image, levels)
    if len(parts) == 1:
        return [(_as_data(parts[0][0]), common | {"name": name, "metadata": {METADATA_KEY: origin}}, "image")]
    layers: list[LayerData] = []
    for channel, ((part, suffix), colour) in enumerate(zip(parts, _colours(image.channel_names), strict=True)):
        look = {
            "name": f"{name}{suffix}",
            "colormap": colour,
            "blending": "additive" if channel else "translucent_no_depth",
            "metadata": {METADATA_KEY: origin | {"channels_of": str(image.path), "channel": channel}},
        }
        layers.append((_as_data(part), common | look, "image"))
    return layers


def is_label_image(path: Path, image: Image) -> bool:
    """Whether an OME-Zarr says of itself that it holds labels."""
    return "image-label" in ome_metadata(path) and np.issubdtype(image.dtype, np.integer)


def ome_metadata(path: Path) -> dict[str, Any]:
    """Return the OME metadata of a zarr group; nothing for anything else."""
    import zarr

    from napari_seamless.images.read_zarr import is_zarr

    if not path.is_dir() or not is_zarr(path):
        return {}
    with warnings.catch_warnings():
        # Of zarr's own making: about metadata that other programs keep beside the arrays.
        warnings.simplefilter("ignore")
        node = zarr.open(path, mode="r", use_consolidated=False)
    attributes: dict[str, Any] = dict(node.attrs) if isinstance(node, zarr.Group) else {}
    found: dict[str, Any] = attributes.get("ome", attributes)
    return found


def _labels_inside(path: Path) -> list[LayerData]:
    from napari_seamless.images.read import open_image

    names = ome_metadata(path / "labels").get("labels") or ()
    return [layer for name in names for layer in labels_layers(open_image(path / "labels" / str(name)), str(name))]


def labels_layers(image: Image, name: str) -> list[LayerData]:
    """Return one Labels layer for a label image, or one per channel where there are several."""
    is_small = image.nbytes <= _EDITABLE_BYTES
    levels = (image.data,) if is_small else image.pyramid or (image.data,)
    layers: list[LayerData] = []
    for part, suffix in _without_channels(image, levels):
        data = part[0].compute() if is_small else _as_data(part)
        look = {"name": f"{name}{suffix}", "multiscale": len(part) > 1}
        origin = {METADATA_KEY: {"path": str(image.path)}}
        layers.append((data, placement(image) | look | {"metadata": origin}, "labels"))
    return layers


def _without_channels(image: Image, levels: Sequence[da.Array]) -> list[tuple[tuple[da.Array, ...], str]]:
    """Return the levels of each channel, and what its layer's name ends in."""
    if "C" not in image.axes:
        return [(tuple(levels), "")]
    before = (slice(None),) * image.axes.index("C")
    names = image.channel_names
    suffixes = [f" · {name}" for name in names] if len(names) > 1 else [""]
    return [(tuple(level[(*before, channel)] for level in levels), suffix) for channel, suffix in enumerate(suffixes)]


def _as_data(levels: Sequence[da.Array]) -> Any:
    return list(levels) if len(levels) > 1 else levels[0]


def placement(image: Image) -> dict[str, Any]:
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
    known = [_customary_colour(name) for name in channel_names]
    free = itertools.cycle([colour for colour in _COLOURS if colour not in known] or _COLOURS)
    return [colour or next(free) for colour in known]


def _customary_colour(channel_name: str) -> str | None:
    name = channel_name.lower().replace(" ", "").replace("-", "")
    return next((colour for stain, colour in _COLOUR_OF_STAIN.items() if stain in name), None)
