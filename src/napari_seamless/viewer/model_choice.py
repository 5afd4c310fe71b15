"""What a model asks of the form: its line of description, the channel it takes, the levels it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_seamless.viewer.layers import LayerSource

if TYPE_CHECKING:
    from napari_seamless.models.library import ModelSummary

_TASKS = {"instances": "single objects", "semantic": "classes"}
_ARCHITECTURES = {"unet": "U-Net", "unetpp": "UNet++"}


def description_of(model: ModelSummary) -> str:
    """Return the line under the list of models: what it is for, and what it is."""
    if model.config is None:
        return model.description
    kind = f"{_ARCHITECTURES[model.config.architecture]}, {model.config.spatial_dims}D"
    facts = f"{kind}, finds {_TASKS[str(model.task)]}"
    return f"{model.description.rstrip('.')}. {facts}." if model.description else f"{facts}."


def channels_of(source: LayerSource) -> list[str]:
    """Return the names of an image's channels; none for an image without a channel axis."""
    n_channels = source.sizes.get("C", 0)
    return list(source.channel_names) or [f"channel {index}" for index in range(n_channels)]


def channel_reason(source: LayerSource, model: ModelSummary | None) -> str:
    """Return why no channel can be chosen, or nothing."""
    if "S" in source.axes:
        return "A colour image: the model is given its colours or their brightness."
    if "C" not in source.sizes:
        return "The image has one channel."
    if model is not None and model.input_kind == "channels":
        return "This model is given all channels."
    return ""


def level_reason(model: ModelSummary | None) -> str:
    """Return why a level can't be chosen; of use only when the model has fewer than two."""
    if model is None or model.config is None:
        return "Choose a model first."
    if model.config.architecture == "unet":
        return "A U-Net has one level; a UNet++ has several."
    return "This UNet++ was made without deep supervision, so it has one level."
