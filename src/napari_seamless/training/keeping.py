"""What leaves a training run on its way: checkpoints, snapshots for whoever watches, learning curves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from napari_seamless.errors import FileWriteError
from napari_seamless.events import Event, OnEvent, ShouldStop
from napari_seamless.models.model import Model
from napari_seamless.training.checkpoint import Checkpoint, remove_checkpoint, write_checkpoint
from napari_seamless.training.curves import CurveWriter
from napari_seamless.training.fingerprint import Fingerprint
from napari_seamless.training.learner import Learner
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.run_state import Row, RunState
from napari_seamless.training.setup import TrainingSetup

OnSnapshot = Callable[[Model], None]

_BEST = "best."
_TELL_EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Outlets:
    """Where a run's news go, and who may stop it; see `loop.train`."""

    on_event: OnEvent
    should_stop: ShouldStop
    on_snapshot: OnSnapshot | None
    snapshot_seconds: float
    checkpoint: Path | None
    keep_checkpoint: bool
    fingerprint: Fingerprint
    curves: Path | None
    price: bool


class Keeper:
    """Writes what a run leaves behind, each thing when it is due.

    A disk that takes nothing any more is told as a notice and does not end the training: its weights are in memory.

    Parameters
    ----------
    setup : TrainingSetup
    options : TrainingOptions
    learner : Learner
    outlets : Outlets
    """

    def __init__(self, setup: TrainingSetup, options: TrainingOptions, learner: Learner, outlets: Outlets) -> None:
        self._setup = setup
        self._options = options
        self._learner = learner
        self._outlets = outlets
        self._curves = CurveWriter(outlets.curves) if outlets.curves is not None else None
        self._last_checkpoint = self._last_snapshot = self._last_step = time.monotonic()

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether the last checkpoint is too old."""
        return time.monotonic() - self._last_checkpoint >= self._options.checkpoint_seconds

    def write_checkpoint(self, state: RunState, best: Mapping[str, Tensor]) -> None:
        """Write where the run stands, if there is a place for it."""
        if self._outlets.checkpoint is None:
            return
        checkpoint = Checkpoint(
            tensors={**self._learner.tensors(), **{f"{_BEST}{name}": value for name, value in best.items()}},
            facts={"run": state.as_dict(), "learner": self._learner.facts()},
            fingerprint=self._outlets.fingerprint,
            resolved={
                "patch_size": self._setup.drawer.patch_size,
                "batch_size": self._setup.batch_size,
                "steps_per_epoch": self._setup.steps_per_epoch,
            },
        )
        try:
            write_checkpoint(checkpoint, self._outlets.checkpoint)
        except FileWriteError as error:
            self._tell(error)
        self._last_checkpoint = time.monotonic()

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a run that nobody should go on with."""
        if self._outlets.checkpoint is not None:
            remove_checkpoint(self._outlets.checkpoint)

    @property
    def news_are_due(self) -> bool:
        """Whether whoever listens has heard of no step for a while, or wants a snapshot now."""
        return self._snapshot_is_due or time.monotonic() - self._last_step >= _TELL_EVERY_SECONDS

    @property
    def _snapshot_is_due(self) -> bool:
        outlets = self._outlets
        return outlets.on_snapshot is not None and time.monotonic() - self._last_snapshot >= outlets.snapshot_seconds

    def tell_step(self, state: RunState, seconds_left: float | None) -> None:
        """Tell the last step, and hand out the present averaged weights if that is due."""
        wants_snapshot = self._snapshot_is_due
        told = {"epoch": state.epoch, "step": state.step, "loss": state.losses[-1] if state.losses else None}
        self._outlets.on_event(Event("step", {**told, "seconds_left": seconds_left}))
        self._last_step = time.monotonic()
        if wants_snapshot and self._outlets.on_snapshot is not None:
            self._outlets.on_snapshot(self._setup.model.with_weights(self._learner.average.snapshot()))
            self._last_snapshot = time.monotonic()

    def draw_curves(self, history: Sequence[Row], *, now: bool = False) -> None:
        """Write the learning curves, if there is a place for them; see `CurveWriter.write`."""
        if self._curves is None:
            return
        try:
            self._curves.write(history, now=now)
        except FileWriteError as error:
            self._tell(error)

    def _tell(self, error: FileWriteError) -> None:
        self._outlets.on_event(Event("notice", {"message": f"{error}. The training goes on."}))


def best_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the best weights that a checkpoint holds; empty if there were none yet."""
    return {name.removeprefix(_BEST): value for name, value in checkpoint.tensors.items() if name.startswith(_BEST)}
