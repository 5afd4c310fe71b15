"""One training run: epochs of steps, validation after them, an end."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
from torch import Tensor

from napari_seamless.errors import Cancelled
from napari_seamless.events import Event
from napari_seamless.models.model import Model
from napari_seamless.training.budget import Budget
from napari_seamless.training.checkpoint import Checkpoint, damaged
from napari_seamless.training.feeder import Feeder
from napari_seamless.training.keeping import Keeper, Outlets, best_weights
from napari_seamless.training.learner import Batch, Learner, NotFiniteLossError
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.pricing import price_levels
from napari_seamless.training.result import DivergedError, TrainingResult, trained_model
from napari_seamless.training.run_state import Row, RunState
from napari_seamless.training.setup import TrainingSetup
from napari_seamless.training.validation import score_examples


class Run:
    """One run's state and the order of its steps.

    Parameters
    ----------
    setup : TrainingSetup
    options : TrainingOptions
    learner : Learner
    outlets : Outlets
    """

    def __init__(self, setup: TrainingSetup, options: TrainingOptions, learner: Learner, outlets: Outlets) -> None:
        self.setup = setup
        self.options = options
        self.learner = learner
        self.outlets = outlets
        self.budget = Budget(options, setup.steps_per_epoch)
        self.state = RunState()
        self.best_weights: dict[str, Tensor] = {}
        self.stopped = False
        self.keeper = Keeper(setup, options, learner, outlets)
        self._began = time.monotonic()

    def restore(self, saved: Checkpoint) -> None:
        """Go back to where a checkpoint was written.

        Raises
        ------
        TrainingError
            If something is missing in it.
        """
        try:
            self.state = RunState.from_dict(saved.facts["run"])
            self.learner.restore(saved.tensors, saved.facts["learner"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise damaged(self.outlets.checkpoint, error) from error
        self.best_weights = best_weights(saved)
        self._began = time.monotonic() - self.state.seconds

    def run(self) -> TrainingResult:
        """Train to the end of the budget, or until stopped.

        Raises
        ------
        DivergedError
        """
        with Feeder(self._draw, first=self.state.step) as feeder:
            while not self._is_over():
                self._take_steps(feeder)
                if not self.stopped:
                    self._close_epoch()
                if self.stopped:
                    break
        return self._finish(feeder.waited)

    def _draw(self, index: int) -> Batch:
        # A generator for each batch: batch i is the same whether or not the run was interrupted before it.
        random = np.random.default_rng([self.options.seed, 3, index])
        return self.setup.drawer.draw_batch(self.setup.batch_size, random)

    def _take_steps(self, feeder: Feeder[Batch]) -> None:
        """Take the steps that the epoch under way still lacks."""
        state = self.state
        while state.epoch_steps < self.setup.steps_per_epoch:
            if state.epoch_steps and self._progress() >= 1.0:
                return
            self._step(feeder.take())
            if self.keeper.news_are_due:
                self.keeper.tell_step(self.state, self.budget.seconds_left(self.state.step, self._seconds()))
            if self.keeper.checkpoint_is_due:
                self._write_checkpoint()
            if self.outlets.should_stop():
                self.stopped = True
                return

    def _step(self, batch: Batch) -> None:
        state, seconds = self.state, self._seconds()
        rate = self.budget.learning_rate(state.step, seconds)
        try:
            loss = self.learner.step(batch, rate, self.budget.auxiliary_weight(state.step, seconds))
        except NotFiniteLossError as error:
            raise self._diverged() from error
        state.step += 1
        state.epoch_steps += 1
        if math.isfinite(loss):
            state.losses.append(loss)

    def _close_epoch(self) -> None:
        """End the epoch: tell it, validate where that is due, and keep what is best."""
        row = self._told_row()
        scores: dict[str, float] = {}
        if self.setup.validation and self._validation_is_due():
            try:
                scores = self._scores()
            except Cancelled:  # the epoch stays open, to be validated when the run goes on
                self.stopped = True
                return
        is_best = self._keep_if_best(scores)
        self.state.begin_next_epoch({**row, **scores})
        if scores:
            fields = {"epoch": row["epoch"], "step": row["step"], "best": is_best, **scores}
            self.outlets.on_event(Event("validation", fields))
        if scores or not self.setup.validation:
            self.keeper.draw_curves(self.state.history)
        if is_best and scores:
            self._write_checkpoint()

    def _told_row(self) -> Row:
        row = {**self.state.row(), "seconds": self._seconds()}
        left = self.budget.seconds_left(self.state.step, row["seconds"])
        told = {"epoch": row["epoch"], "step": row["step"], "loss": row["loss"], "seconds_left": left}
        self.outlets.on_event(Event("epoch", told))
        return row

    def _validation_is_due(self) -> bool:
        """Whether to validate after this epoch.

        Always when epochs or steps are counted, so that such a run repeats exactly. When only the time is limited, or
        nothing, often enough for validation to take about a tenth of it, and at the end.
        """
        if self.options.is_counted or self._progress() >= 1.0:
            return True
        return self._seconds() >= self.state.next_validation

    def _scores(self) -> dict[str, float]:
        """Score the averaged weights."""
        began, setup = self._seconds(), self.setup
        judged = setup.model.with_weights(self.learner.average.snapshot())
        scores = score_examples(judged, setup.validation, setup.device, setup.precision, self.outlets.should_stop)
        self.state.next_validation = self._seconds() + 9 * (self._seconds() - began)
        return scores

    def _keep_if_best(self, scores: dict[str, float]) -> bool:
        """Keep the averaged weights if they are the best so far; without validation the last ones are."""
        state = self.state
        is_better = state.best is None or not scores or scores["score"] > state.best["score"]
        if self.setup.validation and not (scores and is_better):
            return False
        state.best, state.best_epoch = scores, state.epoch
        self.best_weights = self.learner.average.snapshot()
        return True

    def _is_over(self) -> bool:
        state = self.state
        if state.epoch_steps:
            return False
        patience = self.options.epochs_of_patience
        if patience is not None and self.setup.validation and state.epoch - 1 - state.best_epoch >= patience:
            message = f"No improvement for {patience} epochs: stopped early, best was epoch {state.best_epoch}."
            self.outlets.on_event(Event("notice", {"message": message}))
            return True
        return self._progress() >= 1.0

    def _diverged(self) -> DivergedError:
        rate = self.options.learning_rate
        kept = "the best weights so far are kept" if self.best_weights else "no epoch had been completed"
        self.keeper.drop_checkpoint()  # going on from there would end here again
        return DivergedError(
            f"the loss became NaN or infinite at step {self.state.step + 1}; {kept}. "
            f"Train again with a lower learning rate ({rate / 5:g} instead of {rate:g}), or in precision fp32",
            self._result(self.best_weights) if self.best_weights else None,
        )

    def _finish(self, waited: float) -> TrainingResult:
        """Give the best weights; after a stop also keep what is needed to go on."""
        if self.stopped or self.outlets.keep_checkpoint:
            self._write_checkpoint()
        else:
            self.keeper.drop_checkpoint()
        if self.stopped and self.state.epoch_steps:
            self.state.begin_next_epoch(self._told_row())
        weights = self.best_weights
        if not weights or (self.stopped and not self.setup.validation):
            weights = self.learner.average.snapshot()
        result = self._result(weights)
        if self.outlets.price and not self.stopped:
            result = replace(result, model=self._priced(result.model))
        self.keeper.draw_curves(self.state.history, now=True)
        told = {"seconds": round(self._seconds(), 1), "waited": round(waited, 2), "stopped": self.stopped}
        self.outlets.on_event(Event("done", {**told, **result.scores}))
        return result

    def _result(self, weights: dict[str, Tensor]) -> TrainingResult:
        scores = dict(self.state.best or {})
        model = trained_model(self.setup.model, weights, scores)
        return TrainingResult(model=model, scores=scores, history=self.state.history, stopped=self.stopped)

    def _priced(self, model: Model) -> Model:
        """Return the model with its price list, if there is anything to choose between and to choose by."""
        setup = self.setup
        if len(model.config.levels) < 2 or not setup.validation:
            return model
        message = "Measuring what each level of the network is worth and how long it takes."
        self.outlets.on_event(Event("notice", {"message": message}))
        try:
            prices = price_levels(model, setup.validation, setup.device, setup.precision, self.outlets.should_stop)
        except Cancelled:
            self.outlets.on_event(
                Event("notice", {"message": "Stopped before all levels were measured: no price list."})
            )
            return model
        return replace(model, price_list=prices)

    def _write_checkpoint(self) -> None:
        state = replace(self.state, seconds=self._seconds())
        self.keeper.write_checkpoint(state, self.best_weights)

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _progress(self) -> float:
        return self.budget.progress(self.state.step, self._seconds())
