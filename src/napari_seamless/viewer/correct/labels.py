"""Labels on their way into a workspace: which labels fit an image, where they belong, and what made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.errors import AxesError
from napari_seamless.viewer.correct.opening import FirstLabels
from napari_seamless.viewer.layers import METADATA_KEY, LayerSource, Region, full_resolution, labels_axes
from napari_seamless.workspace.origin import Origin

if TYPE_CHECKING:
    import napari.layers


def path_of(layer: napari.layers.Layer) -> Path | None:
    """Return the file that a layer was read from, whichever plugin read it; None when it is no longer there."""
    text = layer.metadata.get(METADATA_KEY, {}).get("path") or layer.source.path
    path = None if text is None else Path(text)
    return path if path is not None and path.exists() else None


def first_labels(layer: napari.layers.Labels, source: LayerSource) -> FirstLabels:
    """Return a layer's labels as those that the workspace of an image begins with.

    Raises
    ------
    AxesError
        If the labels cover neither the image nor the part of it that they were made of.
    """
    facts = layer.metadata.get(METADATA_KEY, {})
    is_own = facts.get("kind") == "labels"
    region = {axis: (start, stop) for axis, (start, stop) in facts.get("region", {}).items()} if is_own else {}
    axes = labels_axes(source.axes.replace("S", ""))
    shape, found = _shape_of(source, axes, region), tuple(full_resolution(layer).shape)
    if found != shape:
        raise AxesError(
            f"the labels '{layer.name}' have shape {found}, the image needs {shape}: choose labels of the same "
            "image, or begin with nothing"
        )
    array = without_axes(full_resolution(layer), (axes.index("C"),) if "C" in axes else ())
    if not is_own:
        return FirstLabels(array, f"Begin with {layer.name}")
    model = str(facts.get("model", ""))
    instances = np.dtype(layer.dtype).itemsize > 1
    origin = Origin(model, str(facts.get("model_path", "")), instances, facts.get("channel"))
    return FirstLabels(array, f"Segment with {model}", region, origin)


def fits(layer: napari.layers.Labels, source: LayerSource) -> bool:
    """Whether `first_labels` would take a layer."""
    try:
        first_labels(layer, source)
    except AxesError:
        return False
    return True


def becomes_corrections(layer: napari.layers.Labels, data: Any) -> bool:
    """Whether a layer can show the workspace's labels itself: one of this package's results, of the whole image.

    Labels from elsewhere are left as they are: they may be a file that their owner expects to stay as it is.
    """
    is_own = layer.metadata.get(METADATA_KEY, {}).get("kind") == "labels"
    return is_own and not layer.multiscale and tuple(layer.data.shape) == tuple(data.shape)


def without_axes(array: Any, axes: tuple[int, ...]) -> Any:
    """Return an array without some axes of length 1; nothing is read."""
    from napari_seamless.images.image import as_lazy

    if not axes:
        return array
    lazy = array if isinstance(array, np.ndarray) else as_lazy(array)
    return lazy[tuple(0 if axis in axes else slice(None) for axis in range(array.ndim))]


def _shape_of(source: LayerSource, axes: str, region: Region) -> tuple[int, ...]:
    sizes = {**source.sizes, **{axis: stop - start for axis, (start, stop) in region.items()}, "C": 1}
    return tuple(sizes[axis] for axis in axes)
