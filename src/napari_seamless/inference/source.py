"""What of an image is fed to a model: which channels, and which axes are run plane by plane. No pixel is read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import AxesError, ChannelError
from napari_seamless.images.image import Image
from napari_seamless.images.intensity import IntensityRange, check_finite, normalise
from napari_seamless.inference.tiles import Span, read_outer
from napari_seamless.models.model import Model

Channel = int | str | Sequence[int | str] | None

LUMINANCE = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue (ITU-R BT.709), as in ``skimage.color.rgb2gray``."""


@dataclass(frozen=True)
class Source:
    """The pixels a model sees, still lazy.

    Attributes
    ----------
    data : dask array, shape (C, *planes, *spatial)
        The channels that are read from the image.
    repeats : int
        How often each channel is fed: 3 for a grey channel in a colour model.
    plane_axes : str
        Axes that are run one index at a time: ``T``, and ``Z`` for 2D networks.
    spatial_axes : str
        The network's axes.
    """

    data: Any
    repeats: int
    plane_axes: str
    spatial_axes: str

    @property
    def output_axes(self) -> str:
        """Axes of the labels."""
        return self.plane_axes + self.spatial_axes

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the labels of the whole image."""
        return tuple(int(length) for length in self.data.shape[1:])

    @property
    def axes(self) -> str:
        """Axes of `data`."""
        return "C" + self.output_axes

    def read(self, plane: Sequence[int], outer: Sequence[Span], intensity: IntensityRange) -> NDArray[np.float32]:
        """Read an outer region of one plane, mirrored and normalised: (channels fed, *outer), float32.

        Raises
        ------
        NotFiniteError
            If what was read holds NaN or infinity.
        """
        view = self.data[(slice(None), *plane)]
        block = read_outer(view, outer)
        if block.dtype.kind == "f":
            check_finite(block, (0, *(start for start, _ in outer)), "C" + self.spatial_axes)
        scaled = normalise(block, intensity)
        return np.repeat(scaled, self.repeats, axis=0) if self.repeats > 1 else scaled


def source_of(image: Image, model: Model, channel: Channel = None) -> Source:
    """Choose what of `image` is fed to `model`.

    Raises
    ------
    AxesError
        If the model needs an axis the image does not have.
    ChannelError
        If the image's channels do not fit the model, or `channel` is needed or unknown.
    """
    spatial = "ZYX"[-model.config.spatial_dims :]
    if not set(spatial) <= set(image.axes):
        raise AxesError(
            f"model {model.name!r} is {model.config.spatial_dims}D and needs the axes {spatial}, "
            f"the image has {image.axes}: choose a 2D model, or give the axes as they are"
        )
    planes = "".join(axis for axis in "TZ" if axis in image.axes and axis not in spatial)
    data, repeats = _channels_first(image, model, channel)
    return Source(data, repeats, planes, spatial)


def _channels_first(image: Image, model: Model, channel: Channel) -> tuple[Any, int]:
    """Return the chosen channels as (C, ...), and how often each one is fed."""
    kind = model.input_kind
    if kind == "channels":
        return _all_channels(image, model, channel), 1
    data = image.data
    if "C" in image.axes:
        (chosen,) = _chosen(image, channel, 1)
        data = _take(data, chosen, image.axes.index("C"))
    elif channel not in (None, 0):
        raise ChannelError(f"channel {channel!r} was asked for, but the image ({image.axes}) has no channel axis")
    if "S" not in image.axes:
        return data[None], 3 if kind == "colour" else 1
    samples = [data[..., sample] for sample in range(min(int(data.shape[-1]), 3))]
    if len(samples) < 3:
        return samples[0][None], 3 if kind == "colour" else 1
    if kind == "grey":
        return _luminance(samples)[None], 1
    return _stack(samples), 1


def _all_channels(image: Image, model: Model, channel: Channel) -> Any:
    needed = model.config.in_channels
    if "S" in image.axes and "C" not in image.axes and channel is None:
        samples = [image.data[..., sample] for sample in range(int(image.data.shape[-1]))]
        samples = samples[:3] if len(samples) == 4 and needed == 3 else samples  # opacity is no colour
        _require_count(len(samples), needed, model, image)
        return _stack(samples)
    if "S" in image.axes:
        raise ChannelError(
            f"model {model.name!r} takes channels, the image has colour samples ({image.axes}): "
            "convert it to channels, or use a model for colour images"
        )
    if "C" not in image.axes:
        _require_count(1, needed, model, image)
        return image.data[None]
    axis = image.axes.index("C")
    if channel is None:
        _require_count(image.sizes["C"], needed, model, image)
        return _moved_first(image.data, axis)
    return _moved_first(_take(image.data, _chosen(image, channel, needed), axis), axis)


def _require_count(found: int, needed: int, model: Model, image: Image) -> None:
    if found != needed:
        names = f" ({', '.join(image.channel_names)})" if image.channel_names else ""
        raise ChannelError(
            f"model {model.name!r} takes {needed} channel(s), the image has {found}{names}: "
            f"choose {needed} with `channel`, or use another model"
        )


def _chosen(image: Image, channel: Channel, needed: int) -> list[int]:
    """Return the indices of the chosen channels."""
    names = image.channel_names
    available = f"the image has {len(names)}: " + ", ".join(f"{i} = {name}" for i, name in enumerate(names))
    if channel is None:
        if len(names) != needed:
            raise ChannelError(f"choose {needed} channel(s) with `channel`; {available}")
        return list(range(needed))
    wanted = [channel] if isinstance(channel, int | str) else list(channel)
    if len(wanted) != needed:
        raise ChannelError(f"the model takes {needed} channel(s), {len(wanted)} were chosen; {available}")
    indices = []
    for one in wanted:
        if isinstance(one, str) and one in names:
            indices.append(names.index(one))
        elif str(one).isdigit() and int(one) < len(names):
            indices.append(int(one))
        else:
            raise ChannelError(f"there is no channel {one!r}; {available}")
    return indices


def _luminance(samples: Sequence[Any]) -> Any:
    # Term by term, not as a reduction: each pixel's sum is then made in the same order in every tile.
    weighted = [
        sample.astype(np.float32) * np.float32(weight) for sample, weight in zip(samples, LUMINANCE, strict=True)
    ]
    return weighted[0] + weighted[1] + weighted[2]


def _take(data: Any, indices: int | list[int], axis: int) -> Any:
    return data[(*(slice(None),) * axis, indices)]


def _stack(samples: Sequence[Any]) -> Any:
    import dask.array as da

    return da.stack(samples, axis=0)


def _moved_first(data: Any, axis: int) -> Any:
    import dask.array as da

    return da.moveaxis(data, axis, 0)
