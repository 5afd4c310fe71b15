"""What a training says, event by event, made into what the panel shows. Knows nothing of windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Scores = Mapping[str, float]

RESUMED = "resumed"
"""The event that stands between what an interrupted run said and what it says when it goes on."""

_DESCRIPTIONS = ("Training on ", "Going on from ")
_SMOOTHING = 0.2
"""How much of a step's loss goes into the curve at once."""


@dataclass(frozen=True)
class Comparison:
    """How a new model does beside the one it came from.

    Attributes
    ----------
    before, after : mapping of str to float
        Scores on the regions held out; empty when there are none. A first model has no `before`.
    rehearsal_before, rehearsal_after : mapping of str to float
        Scores on earlier images.
    better : bool
    judged : bool
        Whether there was anything to judge by.
    verdict : str
        One sentence.
    """

    before: Scores = field(default_factory=dict)
    after: Scores = field(default_factory=dict)
    rehearsal_before: Scores = field(default_factory=dict)
    rehearsal_after: Scores = field(default_factory=dict)
    better: bool = False
    judged: bool = False
    verdict: str = ""

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Comparison:
        """Read a ``comparison`` event."""
        tables = ("before", "after", "rehearsal_before", "rehearsal_after")
        return cls(
            **{name: _numbers(event.get(name) or {}) for name in tables},
            better=bool(event.get("better")),
            judged=bool(event.get("judged", True)),
            verdict=str(event.get("verdict", "")),
        )


def first_model(scores: Scores) -> Comparison:
    """Return what can be said of a model that came from no other."""
    if not scores:
        why = "no region is for validation, or it was stopped too early"
        return Comparison(verdict=f"a first model; it could not be judged: {why}")
    return Comparison(after=scores, better=True, judged=True, verdict=f"a first model: {scores_text(scores)}")


def rescued(step: int) -> Comparison:
    """Return what can be said of the weights that a run left when it crashed."""
    return Comparison(verdict=f"the weights as they were after {step:,} steps; they could not be compared")


def without_weights(step: int) -> Comparison:
    """Return what can be said of a run that was interrupted before there were weights to look at."""
    return Comparison(verdict=f"interrupted after {step:,} steps, before there were weights to look at")


_NAMES = {"iou": "IoU", "ap50": "AP50", "ap75": "AP75", "ap_mean": "mean AP", "dice": "Dice", "mean_iou": "mean IoU"}


def score_name(name: str) -> str:
    """Return how a score is called in the viewer."""
    return _NAMES.get(name, name.replace("_", " "))


def scores_text(scores: Scores) -> str:
    """Return ``IoU 0.83, AP50 0.71 on your validation regions``."""
    shown = {name: value for name, value in scores.items() if name != "score"} or scores
    return ", ".join(f"{score_name(name)} {value:.2f}" for name, value in shown.items()) + " on your validation regions"


class TrainingProgress:
    """How far a training is.

    Attributes
    ----------
    losses, scores : list of (float, float)
        Step and value; None for a value that was not finite.
    step : int
    seconds_left : float or None
    notices : list of str
        What is worth knowing.
    description : str
        On what it trains, and how.
    best : mapping
        The best scores so far.
    comparison : Comparison or None
    snapshot : pathlib.Path or None
        Where the present weights are, once there are some.
    snapshots : int
        How often they were written.
    snapshot_step : int
    returns : int
        How often the run went back to an earlier step, where it had written its checkpoint: points of the curves that
        came after it were then taken away.
    """

    def __init__(self) -> None:
        self.losses: list[tuple[int, float | None]] = []
        self.scores: list[tuple[int, float | None]] = []
        self.step = 0
        self.seconds_left: float | None = None
        self.notices: list[str] = []
        self.description = ""
        self.best: Scores = {}
        self.comparison: Comparison | None = None
        self.snapshot: Path | None = None
        self.snapshots = 0
        self.snapshot_step = 0
        self.returns = 0
        self._is_resumed = False
        self._smooth: float | None = None

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        name = event["event"]
        if self._is_resumed and event.get("step"):
            self._go_back_to(int(event["step"]))
        self._is_resumed = name == RESUMED or (self._is_resumed and not event.get("step"))
        self.step = int(event.get("step") or self.step)
        if name in ("step", "epoch"):
            self.seconds_left = event.get("seconds_left")
        if name == "step":
            self._add_loss(event.get("loss"))
        elif name == "epoch" and self._smooth is None:
            self.losses.append((self.step, event.get("loss")))
        elif name == "validation":
            self.scores.append((self.step, event.get("score")))
            if event.get("best"):
                self.best = _numbers(event)
        elif name == "notice":
            self._add_notice(str(event.get("message", "")))
        elif name == "snapshot":
            self.snapshot, self.snapshot_step = Path(event["path"]), self.step
            self.snapshots += 1
        elif name == "comparison":
            self.comparison = Comparison.from_event(event)

    def _go_back_to(self, step: int) -> None:
        """Take away what an interrupted run did after its checkpoint: the step is the first one that follows it."""
        self.losses = [point for point in self.losses if point[0] < step]
        self.scores = [point for point in self.scores if point[0] < step]
        if self._smooth is not None:
            self._smooth = self.losses[-1][1] if self.losses else None
        self.returns += 1

    def _add_notice(self, message: str) -> None:
        if message.startswith(_DESCRIPTIONS):
            self.description = message
        else:
            self.notices.append(message)

    def _add_loss(self, loss: float | None) -> None:
        """Add the loss of a single step, smoothed: batches differ, and epochs are too rare to be waited for."""
        if loss is not None:
            before = loss if self._smooth is None else self._smooth
            self._smooth = before + _SMOOTHING * (loss - before)
            self.losses.append((self.step, self._smooth))


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores among the fields of an event."""
    left_out = ("epoch", "step", "best", "seconds")
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in left_out
    }
