"""Scores on what was held out: by the code that users run, with the metric of the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seamless.events import ShouldStop, never_stop
from napari_seamless.images.boxes import Box, box_shape, size_of
from napari_seamless.images.intensity import IntensityRange
from napari_seamless.inference.run import predict_probabilities
from napari_seamless.metrics import evaluate
from napari_seamless.models.model import Model
from napari_seamless.objects.instances import instances_from_states, states_from_probabilities
from napari_seamless.training.planes import AnnotatedPlane
from napari_seamless.training.sources import intensity_of

MAX_PIXELS = 8 * 2**20
"""Validation looks at as many places as fit into so many pixels."""

_LARGEST = {2: 1024, 3: 128}
"""Of a larger place the middle is looked at, so long along each axis."""


@dataclass(frozen=True, eq=False)
class ValidationPlace:
    """One place that is held out.

    Attributes
    ----------
    plane : AnnotatedPlane
    box : tuple of (start, stop)
        Along the network's axes.
    intensity : IntensityRange
        Of the whole image.
    """

    plane: AnnotatedPlane
    box: Box
    intensity: IntensityRange

    @property
    def name(self) -> str:
        """Which image and plane."""
        return self.plane.name


def choose_for_validation(
    planes: Sequence[AnnotatedPlane], model: Model, max_pixels: int = MAX_PIXELS
) -> list[ValidationPlace]:
    """Return evenly spread places of about that many pixels altogether, and at least one of those there are."""
    ranges: dict[int, IntensityRange] = {}
    boxes = [(plane, _middle(place)) for plane in planes for place in plane.places]
    total = sum(size_of(box) for _, box in boxes)
    every = max(1, -(-total // max_pixels))
    return [ValidationPlace(plane, box, intensity_of(plane.example, model, ranges)) for plane, box in boxes[::every]]


def _middle(place: Box) -> Box:
    longest = _LARGEST[len(place)]
    spans = []
    for start, stop in place:
        cut = max(0, stop - start - longest)
        spans.append((start + cut // 2, stop - (cut - cut // 2)))
    return tuple(spans)


def score_examples(
    model: Model,
    places: Sequence[ValidationPlace],
    device: str = "auto",
    precision: str | None = None,
    should_stop: ShouldStop = never_stop,
    *,
    level: int | None = None,
) -> dict[str, float]:
    """Return the mean over the places of every score of the task; pixels that are not verified do not count.

    Parameters
    ----------
    model : Model
    places : sequence of ValidationPlace
    device, precision, should_stop
        See `inference.run.predict_probabilities`.
    level : int, optional
        By default the deepest one.

    Returns
    -------
    dict
        For instances ``iou``, ``dice``, ``ap50``, ``ap75``, ``ap_mean`` as in `metrics.evaluate`; for classes ``iou``,
        the mean over the classes but background, and ``dice`` of the whole foreground. ``score`` is the one to compare
        models by: the mean of IoU and AP50, or the IoU. Empty without places.
        Where earlier examples are rehearsed, too, all scores are of the
        new places, but ``score`` is the mean of new and earlier ones, and ``rehearsal_score`` that of the earlier ones.

    Raises
    ------
    Cancelled
        If `should_stop` answered True.
    """
    level = level or model.config.depth
    scores = [_score(model, place, device, precision, should_stop, level) for place in places]
    old = [score for score, place in zip(scores, places, strict=True) if place.plane.example.rehearsed]
    new = [score for score, place in zip(scores, places, strict=True) if not place.plane.example.rehearsed]
    if not (old and new):
        return _mean(scores)
    rehearsal = _mean(old)["score"]
    means = _mean(new)
    return {**means, "score": (means["score"] + rehearsal) / 2, "rehearsal_score": rehearsal}


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([score[key] for score in scores])) for key in scores[0]} if scores else {}


def _score(
    model: Model, place: ValidationPlace, device: str, precision: str | None, should_stop: ShouldStop, level: int
) -> dict[str, float]:
    plane, example = place.plane, place.plane.example
    region = dict(zip(example.label_axes, plane.in_labels(place.box), strict=True))
    probabilities = predict_probabilities(
        example.image,
        model,
        level=level,
        device=device,
        precision=precision,
        region=region,
        intensity=place.intensity,
        should_stop=should_stop,
    )
    probabilities = probabilities.reshape(-1, *box_shape(place.box))
    truth, counts = plane.read_labels(place.box), plane.read_verified(place.box) > 0
    rule = model.instance_rule
    if rule is not None:
        found = instances_from_states(states_from_probabilities(probabilities, rule), rule)
        scores = evaluate(np.where(counts, found, 0), np.where(counts, truth, 0))
        # AP50 alone is blind while objects are still poor, and jumps where there are few.
        score = (scores["iou"] + scores["ap50"]) / 2
        return {"score": score, **{key: scores[key] for key in ("iou", "dice", "ap50", "ap75", "ap_mean")}}
    predicted = probabilities.argmax(axis=0) if len(probabilities) > 1 else probabilities[0] > 0.5
    ious = [
        _class_iou((predicted == index) & counts, (truth == index) & counts)
        for index in range(1, max(2, len(model.classes)))
    ]
    foreground = evaluate((predicted > 0) & counts, (truth > 0) & counts)
    return {"score": float(np.mean(ious)), "iou": float(np.mean(ious)), "dice": foreground["dice"]}


def _class_iou(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / union if union else 1.0
