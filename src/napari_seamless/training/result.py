"""What a training run gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from napari_seamless.errors import TrainingError
from napari_seamless.models.model import Model, Weights
from napari_seamless.training.run_state import Row


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a run gave.

    Attributes
    ----------
    model : Model
        With the best weights, as judged on the images that were held out; with the last ones where none were.
    scores : dict of str to float
        Of these weights on those images; ``score`` is what was compared. Empty when nothing was held out, and when the
        run was stopped before the first validation.
    history : list of dict
        For each epoch its number, step, loss and seconds, and its scores where it was validated.
    stopped : bool
        Whether `should_stop` ended the run.
    """

    model: Model
    scores: dict[str, float]
    history: list[Row]
    stopped: bool


class DivergedError(TrainingError):
    """The loss is no longer a number.

    Attributes
    ----------
    result : TrainingResult or None
        The last good weights, if an epoch was completed before.
    """

    def __init__(self, message: str, result: TrainingResult | None) -> None:
        super().__init__(message)
        self.result = result


def trained_model(model: Model, weights: Weights, scores: Mapping[str, float]) -> Model:
    """Return `model` with new weights, and with their scores in its card."""
    card = model.card.model_copy(update={"scores": {name: round(value, 4) for name, value in scores.items()}})
    return replace(model.with_weights(weights), card=card)
