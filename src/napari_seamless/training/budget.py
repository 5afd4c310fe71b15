"""How much of a run is done, by the time and by the steps it may take."""

from __future__ import annotations

from dataclasses import dataclass

from napari_seamless.training.losses import auxiliary_weight
from napari_seamless.training.optimisation import endless_learning_rate_factor, learning_rate_factor
from napari_seamless.training.options import DEFAULT_EPOCHS, TrainingOptions


@dataclass(frozen=True)
class Budget:
    """What a run may use, and what follows from how much of it is used.

    Attributes
    ----------
    options : TrainingOptions
    steps_per_epoch : int
    """

    options: TrainingOptions
    steps_per_epoch: int

    @property
    def step_limit(self) -> int | None:
        """Number of steps after which the run ends, None where the time alone limits it, or nothing."""
        limits = [self.options.steps] if self.options.steps is not None else []
        if self.options.epoch_limit is not None:
            limits.append(self.options.epoch_limit * self.steps_per_epoch)
        return min(limits, default=None)

    def progress(self, step: int, seconds: float) -> float:
        """Return the share of the budget that is used: from 0 to 1, or a little more for the time."""
        used = [0.0]
        if self.options.seconds is not None:
            used.append(seconds / self.options.seconds)
        if self.step_limit is not None:
            used.append(step / self.step_limit)
        return max(used)

    def seconds_left(self, step: int, seconds: float) -> float | None:
        """Return how long the run will go on at its present speed; None without an end, or before the first step."""
        progress = self.progress(step, seconds)
        return round(seconds * (1 - progress) / progress, 1) if progress else None

    def learning_rate(self, step: int, seconds: float) -> float:
        """Return the learning rate of the next step."""
        if self.options.until_stopped:
            return self.options.learning_rate * endless_learning_rate_factor(step)
        return self.options.learning_rate * learning_rate_factor(self.progress(step, seconds))

    def auxiliary_weight(self, step: int, seconds: float) -> float:
        """Return how much the shallower heads count in the next step.

        N, the number of epochs of the rule, is `DEFAULT_EPOCHS` where only the time is limited.
        """
        limit = self.step_limit
        n_epochs = -(-limit // self.steps_per_epoch) if limit is not None else DEFAULT_EPOCHS
        return auxiliary_weight(self.options.deep_supervision, self.progress(step, seconds), n_epochs)
