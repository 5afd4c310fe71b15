"""Whether a fast precision costs score: the same annotated places, scored in it and in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_seamless.errors import DatasetError
from napari_seamless.events import ShouldStop, never_stop
from napari_seamless.inference.devices import resolve_device, resolve_precision
from napari_seamless.models.model import Model
from napari_seamless.training.examples import Example
from napari_seamless.training.planes import annotated_planes
from napari_seamless.training.rehearsal import recalled
from napari_seamless.training.validation import MAX_PIXELS, choose_for_validation, score_examples

LARGEST_CHANGE = 0.002
"""A score may not change by as much; `docs/performance.md` has what models reach."""


@dataclass(frozen=True)
class ScoreFidelity:
    """How scores in a precision compare with those in float32.

    Attributes
    ----------
    level : int
    device, precision : str
        What was compared with float32 on the same device.
    n_places : int
        Annotated places that were scored.
    fast, wide : dict
        Scores in `precision` and in float32; see `validation.score_examples`. Empty without places.
    """

    level: int
    device: str
    precision: str
    n_places: int
    fast: dict[str, float]
    wide: dict[str, float]

    @property
    def changes(self) -> dict[str, float]:
        """By how much each score is higher in the fast precision."""
        return {name: self.fast[name] - self.wide[name] for name in self.wide}

    @property
    def faithful(self) -> bool:
        """Whether ``score``, by which models are compared, changes by less than `LARGEST_CHANGE`."""
        return abs(self.changes.get("score", 0.0)) < LARGEST_CHANGE


def score_fidelity(
    model: Model,
    examples: Sequence[Example],
    *,
    level: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    max_pixels: int = MAX_PIXELS,
    should_stop: ShouldStop = never_stop,
) -> ScoreFidelity:
    """Score a model on annotated images in a fast precision and in float32.

    Parameters
    ----------
    model : Model
    examples : sequence of Example
    level : int, optional
        By default the one that runs take, `Model.auto_level`.
    device, precision : str
        What is compared; ``auto`` is what a run would take.
    max_pixels : int
        About so many pixels are looked at, evenly spread over the examples.
    should_stop : callable
        Asked before every tile.

    Raises
    ------
    DatasetError
        If the images have fewer axes than the network.
    LevelError
        If the network has no such level.
    Cancelled
        If `should_stop` answered True.
    """
    dims = model.config.spatial_dims
    for example in examples:
        if example.spatial_dims < dims:
            raise DatasetError(
                f"{example.name} is {example.spatial_dims}D, but model {model.name!r} is {dims}D: give {dims}D images"
            )
    depth = model.auto_level if level is None else model.config.resolve_level(level)
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    planes = [plane for example in examples for plane in annotated_planes(example, dims)]
    places = choose_for_validation(planes, model, max_pixels)
    wide = score_examples(model, places, device, "fp32", should_stop, level=depth)
    # Float32 is compared with itself where there is no faster precision: its scores are known already.
    fast = wide if precision == "fp32" else score_examples(model, places, device, precision, should_stop, level=depth)
    return ScoreFidelity(depth, device, precision, len(places), fast, wide)


def remembered_for_judging(model: Model) -> list[Example]:
    """Return the annotated pieces that a model's package carries: those that were held out, or else all of them."""
    known = recalled(model)
    return [example for example in known if example.role == "validation"] or known
