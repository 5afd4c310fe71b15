"""Fine-tuning: a model learns a person's corrections, and is only called better if it is not worse anywhere.

Parent and child are compared by the code that users run, on verified places that were held out, and on earlier examples
that the parent is known to have learned from. These are rehearsed, too: a bounded number of patches of them is mixed
with the new ones, so that the child does not forget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_seamless.errors import TrainingError
from napari_seamless.events import Event, OnEvent, ShouldStop, ignore_event, never_stop
from napari_seamless.images.boxes import size_of
from napari_seamless.models.model import Model, Task
from napari_seamless.networks.geometry import geometry
from napari_seamless.training.examples import Example
from napari_seamless.training.heads import with_classes
from napari_seamless.training.loop import train
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.rehearsal import recalled, remembered
from napari_seamless.training.run_state import Row
from napari_seamless.training.setup import TrainingSetup, prepare_training, read_examples
from napari_seamless.training.validation import ValidationPlace, score_examples

_PATCH_SIDE = 128
_BATCH_SIZE = 4
"""In 2D. Small patches and batches: what counts in a minute is the number of steps."""


def finetune_options(model: Model, **chosen: Any) -> TrainingOptions:
    """Return what fine-tuning does otherwise than training; measured in ``docs/accuracy.md``.

    Parameters
    ----------
    model : Model
        The parent.
    **chosen
        Fields of `TrainingOptions` that are chosen otherwise; without any budget among them, 60 seconds.
    """
    options: dict[str, Any] = {"average_decay": 0.99}
    alignment = geometry(model.config).alignment
    if model.config.spatial_dims == 2 and not any(_PATCH_SIDE % m for m in alignment):
        options |= {"patch_size": (_PATCH_SIDE,) * 2, "batch_size": _BATCH_SIZE}
    if not any(name in chosen for name in ("seconds", "steps", "epochs", "until_stopped")):
        options["seconds"] = 60.0
    return TrainingOptions(**{**options, **chosen})


LEAST_PRICED_PIXELS = 2**18
"""A price list on less than that would be chance, and chance would choose the level that runs take."""

FORGETTING = 0.01
"""The child may be so much worse on earlier examples: less than that is chance."""


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """What a fine-tuning gave.

    Attributes
    ----------
    model : Model
        The child, with the best weights; `Model.parent` names the parent.
    before, after : dict of str to float
        Scores of parent and child on the places that were held out; empty when none were.
    rehearsal_before, rehearsal_after : dict of str to float
        The same on earlier examples; empty when none are known.
    judged : bool
        Whether anything was held out to judge by.
    better : bool
        Whether the child was judged, and is not worse: neither on what was held out nor on earlier examples.
    verdict : str
        That in a sentence.
    history : list of dict
        See `TrainingResult`.
    stopped : bool
    """

    model: Model
    before: dict[str, float]
    after: dict[str, float]
    rehearsal_before: dict[str, float]
    rehearsal_after: dict[str, float]
    judged: bool
    better: bool
    verdict: str
    history: list[Row]
    stopped: bool


def finetune(
    model: Model | str,
    examples: Sequence[Example] | Sequence[str | Path] | Example | str | Path,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    *,
    rehearse: Sequence[Example] | Sequence[str | Path] = (),
    classes: Sequence[str] | None = None,
    task: Task | None = None,
    name: str | None = None,
    options: TrainingOptions | None = None,
    on_event: OnEvent = ignore_event,
    should_stop: ShouldStop = never_stop,
    **settings: Any,
) -> FinetuneResult:
    """Fine-tune a model on corrections, and compare it with its parent.

    Parameters
    ----------
    model : Model or str
        The parent; its name or path.
    examples : Example, path, or sequence of them
        What was corrected: see `Example`. Folders hold ``images/``, ``labels/`` and optionally ``verified/``.
    seconds, steps : float, int, optional
        The budget; 60 seconds with neither.
    seed : int
    rehearse : sequence of Example or path
        Earlier examples, besides those that the parent carries.
    classes : sequence of str, optional
        With new classes at the end; see `heads.with_classes`.
    task : {"semantic", "instances"}, optional
        By default the parent's.
    name : str, optional
        The child's; by default the parent's with ``-finetuned`` added.
    options : TrainingOptions, optional
        By default `finetune_options(model)`; its budget and seed are replaced by `seconds`, `steps` and `seed` where
        these are given.
    on_event : callable
        Receives what `train` tells, and ``comparison`` with the scores of both.
    should_stop : callable
        On True the run ends with the best weights so far, and is compared.
    **settings
        ``checkpoint``, ``resume``, ``curves``, ``on_snapshot``, ``snapshot_seconds``, ``overwrite`` and ``price`` of
        `train`; levels are priced by default when a quarter of a megapixel was held out.

    Returns
    -------
    FinetuneResult

    Raises
    ------
    SeamlessError
        Before training, if model, examples and options do not fit each other. `DivergedError` as in `train`.
    """
    parent = _loaded(model)
    options = _resolved(parent, options, seconds, steps, seed)
    new = read_examples(examples if isinstance(examples, str | Path) else _listed(examples))
    old = [*recalled(parent), *_as_rehearsed(rehearse)]
    start = with_classes(parent, classes or _classes_of(parent), task, options.seed)
    start = replace(start, name=name or f"{parent.name}-finetuned", parent=parent.name)
    data = [*new, *old]
    comparison = _Comparison.prepare(parent, start, data, options, should_stop)
    settings.setdefault("price", comparison.n_pixels >= LEAST_PRICED_PIXELS)
    result = train(data, options, model=start, on_event=on_event, should_stop=should_stop, **settings)
    memory = remembered(comparison.setup, parent.load_examples(), options.seed)
    child = result.model.with_examples(memory)
    scores = comparison.scores_of(child)
    judged, better, verdict = judge(comparison.before, scores[0], comparison.rehearsal_before, scores[1])
    compared = FinetuneResult(
        model=child,
        before=comparison.before,
        after=scores[0],
        rehearsal_before=comparison.rehearsal_before,
        rehearsal_after=scores[1],
        judged=judged,
        better=better,
        verdict=verdict,
        history=result.history,
        stopped=result.stopped,
    )
    on_event(Event("comparison", comparison_fields(compared)))
    return compared


def comparison_fields(result: FinetuneResult) -> dict[str, Any]:
    """Return what the event ``comparison`` tells."""
    names = ("before", "after", "rehearsal_before", "rehearsal_after", "judged", "better", "verdict")
    return {name: getattr(result, name) for name in names}


def judge(
    before: dict[str, float],
    after: dict[str, float],
    rehearsal_before: dict[str, float],
    rehearsal_after: dict[str, float],
) -> tuple[bool, bool, str]:
    """Return whether anything could be judged, whether the child is not worse, and that as a sentence."""
    judged = bool(after)
    if not judged:
        return False, False, "cannot be judged: nothing was held out; verify a second place to have one for validation"
    is_new_fine = not before or after["score"] >= before["score"]
    is_old_fine = not rehearsal_after or rehearsal_after["score"] >= rehearsal_before["score"] - FORGETTING
    parts = [_change("on your validation regions", before, after, 0.0)]
    if rehearsal_after:
        parts.append(_change("on earlier images", rehearsal_before, rehearsal_after, FORGETTING))
    return True, is_new_fine and is_old_fine, "; ".join(parts)


def _change(where: str, before: dict[str, float], after: dict[str, float], tolerance: float) -> str:
    if not before:
        return f"{where} IoU {after['iou']:.2f}; the parent does not know these classes"
    numbers = f"IoU {before['iou']:.2f} → {after['iou']:.2f}"
    if "ap50" in after:
        numbers += f", AP50 {before['ap50']:.2f} → {after['ap50']:.2f}"
    difference = after["score"] - before["score"]
    if difference < -tolerance:
        return f"worse {where}: {numbers}"
    return f"{'better' if difference > tolerance else 'unchanged'} {where}: {numbers}"


@dataclass(frozen=True, eq=False)
class _Comparison:
    """What parent and child are compared on, and how the parent does there."""

    setup: TrainingSetup
    new: list[ValidationPlace]
    old: list[ValidationPlace]
    before: dict[str, float]
    rehearsal_before: dict[str, float]

    @classmethod
    def prepare(
        cls, parent: Model, start: Model, data: list[Example], options: TrainingOptions, should_stop: ShouldStop
    ) -> _Comparison:
        setup = prepare_training(data, start, options)
        new = [place for place in setup.validation if not place.plane.example.rehearsed]
        old = [place for place in setup.validation if place.plane.example.rehearsed]
        is_comparable = parent.task == start.task and len(parent.classes) == len(start.classes)
        before, rehearsal_before = (
            score_examples(parent, places, setup.device, setup.precision, should_stop) if is_comparable else {}
            for places in (new, old)
        )
        return cls(setup, new, old if is_comparable else [], before, rehearsal_before)

    @property
    def n_pixels(self) -> int:
        """Size of what the levels of the child could be compared on."""
        return sum(size_of(place.box) for place in (*self.new, *self.old))

    def scores_of(self, child: Model) -> tuple[dict[str, float], dict[str, float]]:
        """Return the child's scores on new and on earlier places."""
        device, precision = self.setup.device, self.setup.precision
        new, old = (score_examples(child, places, device, precision) for places in (self.new, self.old))
        return new, old


def _loaded(model: Model | str) -> Model:
    if isinstance(model, Model):
        return model
    from napari_seamless.models.library import load_model

    return load_model(model)


def _resolved(
    parent: Model, options: TrainingOptions | None, seconds: float | None, steps: int | None, seed: int
) -> TrainingOptions:
    if options is None:
        budget = {name: value for name, value in (("seconds", seconds), ("steps", steps)) if value is not None}
        return finetune_options(parent, seed=seed, **budget)
    if seconds is None and steps is None:
        return options if seed == 0 else replace(options, seed=seed)
    if options.until_stopped:
        raise TrainingError("until_stopped means no limit, but seconds or steps are given: leave out either")
    return replace(options, seconds=seconds, steps=steps, seed=seed or options.seed)


def _listed(examples: Any) -> list[Any]:
    return [examples] if isinstance(examples, Example) else list(examples)


def _as_rehearsed(rehearse: Sequence[Any]) -> list[Example]:
    return [replace(example, rehearsed=True) for example in read_examples(list(rehearse))] if rehearse else []


def _classes_of(model: Model) -> tuple[str, ...]:
    return model.classes if len(model.classes) > 1 else ("background", *model.classes)
