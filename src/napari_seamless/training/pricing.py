"""What each level of a network is worth and what it costs: the price list that ``level="auto"`` chooses from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch

from napari_seamless.errors import Cancelled
from napari_seamless.events import ShouldStop, never_stop
from napari_seamless.inference.calibration import trial_input
from napari_seamless.inference.devices import resolve_device, resolve_precision
from napari_seamless.inference.predictor import Predictor
from napari_seamless.models.model import Model
from napari_seamless.models.price_list import LevelPrice
from napari_seamless.networks import count_parameters
from napari_seamless.training.validation import score_examples

TURNS = 5
"""How often each level is timed, after a turn that warms up."""


def price_levels(
    model: Model,
    validation: Sequence[Any],
    device: str = "auto",
    precision: str = "auto",
    should_stop: ShouldStop = never_stop,
) -> tuple[LevelPrice, ...]:
    """Score every level of a model and measure how long it takes.

    Parameters
    ----------
    model : Model
    validation : sequence of examples
        What was held out; see `validation.score_examples`.
    device, precision : str
        On which and in which both are measured; ``auto`` as for a run.
    should_stop : callable
        Asked for every tile and every turn.

    Returns
    -------
    tuple of LevelPrice
        The shallowest level first; one row for a network with one head. Empty if nothing was held out: without scores
        there is nothing to choose by.

    Raises
    ------
    Cancelled
        If `should_stop` answered True.
    """
    if not validation:
        return ()
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    levels = model.config.levels
    scores = {
        level: score_examples(model, validation, device, precision, should_stop, level=level)["score"]
        for level in levels
    }
    times = _ms_per_megapixel(model, levels, device, precision, should_stop)
    return tuple(
        LevelPrice(
            level=level,
            score=round(scores[level], 4),
            ms_per_megapixel=round(times[level], 1),
            parameters=count_parameters(model.config, level),
            device=device,
            precision=precision,
            threads=torch.get_num_threads() if device == "cpu" else 0,
        )
        for level in levels
    )


def _ms_per_megapixel(
    model: Model, levels: Sequence[int], device: str, precision: str, should_stop: ShouldStop
) -> dict[int, float]:
    """Time the predictor that a run uses, all levels in turn, so that a busy moment meets all of them."""
    predictors = {level: Predictor(model, level=level, device=device, precision=precision) for level in levels}
    seconds: dict[int, list[float]] = {level: [] for level in levels}
    for _ in range(TURNS + 1):
        for level, predictor in predictors.items():
            if should_stop():
                raise Cancelled("the levels were not priced: stopped before all of them were timed")
            outer = trial_input(model.config, level)
            start = time.perf_counter()
            predictor(outer)
            seconds[level].append((time.perf_counter() - start) / (outer[0].size / 1e6))
    return {level: 1000 * median(taken[1:]) for level, taken in seconds.items()}
