"""Between napari's layers and the core's images: what an Image layer holds, and where its Labels layer belongs.

What is taken from a layer is taken on the main thread and costs nothing; wrapping the pixels (`LayerSource.image`)
may be done by a worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.errors import AxesError

if TYPE_CHECKING:
    import napari.layers

    from napari_seamless.images.image import Image

METADATA_KEY = "napari_seamless"
"""Where layers of this package keep what they know about themselves: ``layer.metadata[METADATA_KEY]``."""

UNCERTAINTY_KIND = "uncertainty"
"""The ``kind`` of an uncertainty map, an Image layer that is no image to be segmented."""

Region = Mapping[str, tuple[int, int]]
"""Axis letter → (start, stop) in the pixels of the image."""

_LETTER_OF_NAME = {
    **dict.fromkeys(("t", "time", "frame", "frames"), "T"),
    **dict.fromkeys(("c", "ch", "channel", "channels"), "C"),
    **dict.fromkeys(("z", "depth", "plane", "slice"), "Z"),
    **dict.fromkeys(("y", "height", "row", "rows"), "Y"),
    **dict.fromkeys(("x", "width", "column", "columns"), "X"),
}


@dataclass(frozen=True, eq=False)
class LayerSource:
    """The pixels behind one Image layer, or behind several that are the channels of one image.

    Attributes
    ----------
    arrays : tuple of array-like
        The layers' full-resolution data as napari holds it (numpy, dask, zarr...); one array, or one per channel.
    axes : str
        One letter per axis of each array, RGB samples ``S`` last.
    voxel_size_um : tuple of float or None
        Micrometres per step along each of Z, Y, X that the image has; None when the layer's units are no lengths.
    channel_names : tuple of str
        One per array when there are several, else empty.
    """

    arrays: tuple[Any, ...]
    axes: str
    voxel_size_um: tuple[float, ...] | None = None
    channel_names: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Axis letter to length, channels that are layers of their own included."""
        sizes = dict(zip(self.axes, (int(length) for length in self.arrays[0].shape), strict=True))
        return {"C": len(self.arrays), **sizes} if len(self.arrays) > 1 else sizes

    def image(self) -> Image:
        """Wrap the pixels, lazily. Large numpy arrays may take a moment: call it in a worker."""
        import dask.array as da

        from napari_seamless.images.image import Image, as_lazy

        if len(self.arrays) == 1:
            return Image.from_array(self.arrays[0], self.axes, self.voxel_size_um)
        stacked = da.stack([as_lazy(array) for array in self.arrays])
        return Image.from_array(stacked, f"C{self.axes}", self.voxel_size_um, self.channel_names)


def source_of(layers: Sequence[napari.layers.Image], axes: str) -> LayerSource:
    """Take from Image layers what segmenting them needs.

    Parameters
    ----------
    layers : sequence of napari.layers.Image
        One layer, or the layers that hold one channel each of the same image.
    axes : str
        What the axes of each layer mean, without the ``S`` of RGB layers: see `axes_choices`.
    """
    first = layers[0]
    letters = f"{axes}S" if first.rgb else axes
    return LayerSource(
        arrays=tuple(full_resolution(layer) for layer in layers),
        axes=letters,
        voxel_size_um=voxel_size_of(first, axes),
        channel_names=tuple(layer.name for layer in layers) if len(layers) > 1 else (),
    )


def full_resolution(layer: napari.layers.Layer) -> Any:
    """Return a layer's data; for a pyramid its finest level."""
    return layer.data[0] if layer.multiscale else layer.data


def axes_choices(layer: napari.layers.Layer) -> tuple[str, ...]:
    """Return what a layer's axes may mean, the most likely first, without the ``S`` of RGB layers.

    The layer's ``axis_labels`` decide when they name axes; else 3 axes are a stack, 4 a stack over time.

    Raises
    ------
    AxesError
        When the layer has fewer than two or more than five axes.
    """
    ndim = layer.ndim
    if not 2 <= ndim <= 5:
        raise AxesError(
            f"layer '{layer.name}' has {ndim} axes; images have two (YX) to five (TCZYX): slice the layer first"
        )
    named = _axes_from_labels(layer.axis_labels)
    likely = {2: ("YX",), 3: ("ZYX", "TYX", "CYX"), 4: ("TZYX", "CZYX", "ZCYX"), 5: ("TCZYX", "TZCYX")}[ndim]
    others = tuple("".join(letters) + "YX" for letters in combinations("TCZ", ndim - 2))
    choices = (*((named,) if named else ()), *likely, *others)
    if getattr(layer, "rgb", False):  # Labels have no such flag
        choices = tuple(choice for choice in choices if "C" not in choice) or ("YX",)
    return tuple(dict.fromkeys(choices))


def _axes_from_labels(axis_labels: Sequence[str]) -> str | None:
    letters = "".join(_LETTER_OF_NAME.get(label.strip().lower(), "?") for label in axis_labels)
    without_channel = letters.replace("C", "")
    is_ordered = without_channel in ("YX", "ZYX", "TYX", "TZYX")
    return letters if is_ordered and len(set(letters)) == len(letters) else None


def voxel_size_of(layer: napari.layers.Layer, axes: str) -> tuple[float, ...] | None:
    """Return micrometres per step along the spatial axes in the order Z, Y, X; None when the units are no lengths."""
    import pint

    spatial = [axes.index(letter) for letter in "ZYX" if letter in axes]
    registry = pint.get_application_registry()
    sizes = [registry.Quantity(abs(float(layer.scale[index])), str(layer.units[index])) for index in spatial]
    if not all(size.is_compatible_with("micrometer") and size.magnitude > 0 for size in sizes):
        return None
    return tuple(float(size.to("micrometer").magnitude) for size in sizes)


def labels_axes(axes: str) -> str:
    """Return the axes of the Labels layer of an image layer.

    The channel axis goes when it comes first. When another axis precedes it, it stays with length 1: napari aligns
    layers by their last axes, so leaving it out would bring time against channel.
    """
    letters = axes.replace("S", "")
    return letters[1:] if letters.startswith("C") else letters


def labels_placement(layer: napari.layers.Image, axes: str, region: Region, shape: Sequence[int]) -> dict[str, Any]:
    """Return the keyword arguments that put a Labels layer exactly over the part of an image it belongs to.

    Parameters
    ----------
    layer : napari.layers.Image
        The image that was segmented.
    axes : str
        Meaning of the layer's axes, without ``S``.
    region : mapping of str to (int, int)
        The part that was segmented; axes that are not named were taken whole.
    shape : sequence of int
        The layer's shape without ``S``.

    Returns
    -------
    dict
        ``scale``, ``translate``, ``units``, ``axis_labels``, and where the layer has them ``rotate``, ``shear``
        and ``affine``, over the axes `labels_axes`.
    """
    from napari.utils.transforms import Affine

    kept = [axes.index(letter) for letter in labels_axes(axes)]
    scale, start = np.array(layer.scale, dtype=float), _starts(axes, region)
    if "C" in labels_axes(axes):  # one label image under all channels: a single step as wide as the channels together
        channel = axes.index("C")
        start[channel] = (shape[channel] - 1) / 2
        scale[channel] *= shape[channel]
    linear = Affine(rotate=layer.rotate, shear=layer.shear, scale=layer.scale, translate=layer.translate)
    placement = {
        "scale": scale[kept],
        "translate": np.asarray(linear(start))[kept],
        "units": [layer.units[index] for index in kept],
        "axis_labels": [layer.axis_labels[index] for index in kept],
    }
    part = linear.set_slice(kept)
    if not np.allclose(part.linear_matrix, np.diag(np.diag(part.linear_matrix))):
        placement |= {"rotate": part.rotate, "shear": part.shear}
    if not np.allclose(layer.affine.affine_matrix, np.eye(layer.ndim + 1)):
        placement["affine"] = layer.affine.set_slice(kept)
    return placement


def _starts(axes: str, region: Region) -> np.ndarray:
    return np.array([region[letter][0] if letter in region else 0 for letter in axes], dtype=float)
