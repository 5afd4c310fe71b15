"""Scores on the images that were held out: by the code that users run, with the metric of the task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_seamless.events import ShouldStop, never_stop
from napari_seamless.inference.run import predict_probabilities
from napari_seamless.metrics import evaluate
from napari_seamless.models.model import Model
from napari_seamless.objects.instances import instances_from_states, states_from_probabilities
from napari_seamless.training.dataset import TrainingExample

MAX_PIXELS = 8 * 2**20
"""Validation looks at as many images as fit into so many pixels."""


def choose_for_validation(examples: Sequence[TrainingExample], max_pixels: int = MAX_PIXELS) -> list[TrainingExample]:
    """Return evenly spread examples of about that many pixels altogether, and at least one."""
    total = sum(example.labels.size for example in examples)
    every = max(1, -(-total // max_pixels))
    return list(examples[::every])


def score_examples(
    model: Model,
    examples: Sequence[TrainingExample],
    device: str = "auto",
    precision: str | None = None,
    should_stop: ShouldStop = never_stop,
    *,
    level: int | None = None,
) -> dict[str, float]:
    """Return the mean over the images of every score of the task.

    Parameters
    ----------
    model : Model
    examples : sequence of TrainingExample
    device, precision, should_stop
        See `inference.run.predict_probabilities`.
    level : int, optional
        By default the deepest one.

    Returns
    -------
    dict
        For instances ``iou``, ``dice``, ``ap50``, ``ap75``, ``ap_mean`` as in `metrics.evaluate`; for classes ``iou``,
        the mean over the classes but background, and ``dice`` of the whole foreground. ``score`` is the one to compare
        models by: AP50 or IoU.

    Raises
    ------
    Cancelled
        If `should_stop` answered True.
    """
    scores = [_score(model, example, device, precision, should_stop, level or model.config.depth) for example in examples]
    return {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}


def _score(
    model: Model, example: TrainingExample, device: str, precision: str | None, should_stop: ShouldStop, level: int
) -> dict[str, float]:
    probabilities = predict_probabilities(
        example.image, model, level=level, device=device, precision=precision, should_stop=should_stop
    )
    rule = model.instance_rule
    if rule is not None:
        states = states_from_probabilities(probabilities, rule)
        scores = evaluate(instances_from_states(states, rule), example.labels)
        return {"score": scores["ap50"], **{key: scores[key] for key in ("iou", "dice", "ap50", "ap75", "ap_mean")}}
    predicted = probabilities.argmax(axis=0)
    ious = [_class_iou(predicted == index, example.labels == index) for index in range(1, len(model.classes))]
    foreground = evaluate(predicted > 0, example.labels > 0)
    return {"score": float(np.mean(ious)), "iou": float(np.mean(ious)), "dice": foreground["dice"]}


def _class_iou(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / union if union else 1.0
