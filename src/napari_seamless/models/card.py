"""What a person should know about a model before they trust it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ModelCard(BaseModel):
    """The model's label, as stored in ``model.json``.

    Attributes
    ----------
    description : str
        One line: what the model is for.
    licence : str
        SPDX identifier of the weights' licence.
    training_data : tuple of str
        Data sets, with their source.
    command : str
        The command that trained it.
    scores : dict of str to float
        Named scores on data that was held out, for example ``{"iou": 0.91, "ap50": 0.83}``.
    created : str
        ISO date.
    citation : str
        What to cite.
    notes : str
        Anything else worth knowing: where it fails, how validation data was held out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    licence: str = ""
    training_data: tuple[str, ...] = ()
    command: str = ""
    scores: dict[str, float] = Field(default_factory=dict)
    created: str = ""
    citation: str = ""
    notes: str = ""
