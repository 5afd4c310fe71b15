"""Where a run stands, beside its weights: counters, history and the best so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

Row = dict[str, float]


@dataclass
class RunState:
    """Counters of a run; plain values, ready for JSON.

    Attributes
    ----------
    step : int
        Steps taken, which is the number of the next batch.
    epoch : int
        The one under way, from 1.
    epoch_steps : int
        Steps taken in it.
    losses : list of float
        Of these steps, but for those that overflowed in fp16.
    seconds : float
        Used so far.
    best : dict of str to float, or None
        Scores of the best weights; None before there are any.
    best_epoch : int
    next_validation : float
        Seconds before which a run that is limited by the time does not validate again.
    history : list of dict
        A row for each finished epoch.
    """

    step: int = 0
    epoch: int = 1
    epoch_steps: int = 0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    best: dict[str, float] | None = None
    best_epoch: int = 0
    next_validation: float = 0.0
    history: list[Row] = field(default_factory=list)

    def row(self) -> Row:
        """Return the row of the history for the epoch under way."""
        loss = float(np.mean(self.losses)) if self.losses else float("inf")
        return {"epoch": self.epoch, "step": self.step, "loss": loss, "seconds": self.seconds}

    def begin_next_epoch(self, row: Row) -> None:
        """Put a finished epoch into the history."""
        self.history.append(row)
        self.epoch += 1
        self.epoch_steps = 0
        self.losses = []

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunState:
        """Rebuild it from `as_dict`.

        Raises
        ------
        TypeError
            If a value is missing or unknown.
        """
        missing = {entry.name for entry in fields(cls)} - set(values)
        if missing:
            raise TypeError(f"without {sorted(missing)}")
        return cls(**values)
