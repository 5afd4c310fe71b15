"""Which images the viewer holds: single layers, and layers that are the channels of one image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seamless.viewer.files.reader import name_of
from napari_seamless.viewer.layers import METADATA_KEY, UNCERTAINTY_KIND, full_resolution

if TYPE_CHECKING:
    import napari.layers


@dataclass(frozen=True)
class ImageChoice:
    """An entry of the list of images.

    Attributes
    ----------
    layers : tuple of napari.layers.Image
        One layer, or one per channel.
    name : str
        What labels of this image are called after.
    text : str
        What the list shows.
    """

    layers: tuple[napari.layers.Image, ...]
    name: str
    text: str

    @property
    def key(self) -> tuple[str, ...]:
        """What tells one choice from another, however layers are renamed or reordered."""
        return tuple(str(layer.unique_id) for layer in self.layers)


def image_choices(layers: Iterable[napari.layers.Layer]) -> list[ImageChoice]:
    """Return what can be segmented: Image layers (no maps), the topmost first, then files whose channels are layers."""
    from napari.layers import Image

    images = [layer for layer in layers if isinstance(layer, Image) and not _is_map(layer)]
    groups: dict[str, list[napari.layers.Image]] = {}
    for layer in images:
        file = layer.metadata.get(METADATA_KEY, {}).get("channels_of")
        if file is not None:
            groups.setdefault(file, []).append(layer)
    single = [ImageChoice((layer,), layer.name, layer.name) for layer in reversed(images)]
    return single + [_channels(file, group) for file, group in groups.items() if _belong_together(group)]


def _is_map(layer: napari.layers.Image) -> bool:
    return layer.metadata.get(METADATA_KEY, {}).get("kind") == UNCERTAINTY_KIND


def _channels(file: str, group: list[napari.layers.Image]) -> ImageChoice:
    ordered = sorted(group, key=lambda layer: layer.metadata[METADATA_KEY]["channel"])
    name = name_of(Path(file))
    return ImageChoice(tuple(ordered), name, f"{name}, all {len(group)} channels")


def _belong_together(group: list[napari.layers.Image]) -> bool:
    shapes = {tuple(full_resolution(layer).shape) for layer in group}
    channels = {layer.metadata[METADATA_KEY]["channel"] for layer in group}
    return len(shapes) == 1 and len(channels) == len(group) > 1
