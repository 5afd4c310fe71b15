"""The training loop: data in, a model with its scores out."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_seamless.errors import Cancelled, TrainingError
from napari_seamless.events import Event, OnEvent, ShouldStop, ignore_event, never_stop
from napari_seamless.inference.devices import DTYPES
from napari_seamless.models.model import Model
from napari_seamless.networks import build_network
from napari_seamless.training.dataset import TrainingExample
from napari_seamless.training.feeder import prefetched
from napari_seamless.training.losses import deep_supervision_loss
from napari_seamless.training.optimisation import AveragedWeights, learning_rate_factor, make_optimiser
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.setup import TrainingSetup, default_model, prepare_training, read_examples
from napari_seamless.training.validation import score_examples

Batch = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a run gave.

    Attributes
    ----------
    model : Model
        With the best weights, as judged on the images that were held out.
    scores : dict of str to float
        Of these weights on those images; ``score`` is what was compared. Empty when the run was stopped before the
        first validation.
    history : list of dict
        For each epoch its number, step, loss and seconds, and its scores where it was validated.
    stopped : bool
        Whether `should_stop` ended the run.
    """

    model: Model
    scores: dict[str, float]
    history: list[dict[str, float]]
    stopped: bool


class DivergedError(TrainingError):
    """The loss is no longer a number.

    Attributes
    ----------
    result : TrainingResult or None
        The last good weights, if an epoch was completed before.
    """

    def __init__(self, message: str, result: TrainingResult | None) -> None:
        super().__init__(message)
        self.result = result


def train(
    data: Sequence[str | Path | TrainingExample] | str | Path,
    options: TrainingOptions | None = None,
    *,
    model: Model | None = None,
    on_event: OnEvent = ignore_event,
    should_stop: ShouldStop = never_stop,
    **settings: Any,
) -> TrainingResult:
    """Train a network on annotated images.

    Parameters
    ----------
    data : path, or sequence of paths or of TrainingExample
        Folders with ``images/`` and ``labels/``.
    options : TrainingOptions, optional
        Budget, patches, learning rate, augmentation, seed, device.
    model : Model, optional
        What to train, starting from its weights. By default a fresh model that fits the data.
    on_event : callable
        Receives ``notice`` (message), ``epoch`` (epoch, step, loss, seconds_left), ``validation`` (epoch, score and the
        task's scores, best) and ``done``.
    should_stop : callable
        Asked after each step. On True the run ends and gives the best weights so far.
    **settings
        Without `model`: ``task``, ``architecture``, ``features``, ``input_kind``, ``classes``, ``name`` and further
        settings of `NetworkConfig`; see `setup.default_model`.

    Returns
    -------
    TrainingResult

    Raises
    ------
    DatasetError, ChannelError, ConfigError, TrainingError, DeviceError
        Before training, if data, model and options do not fit.
    DivergedError
        If the loss becomes NaN or infinite; it carries the best weights so far.
    """
    options = options or TrainingOptions()
    examples = read_examples(data)
    if model is None:
        model = default_model(examples, seed=options.seed, **settings)
    elif settings:
        raise TrainingError(f"a given model has its settings already: leave out {sorted(settings)}")
    setup = prepare_training(examples, model, options)
    on_event(Event("notice", {"message": _describe(setup)}))
    # Building networks draws random numbers; the caller's own sequence goes on as if nothing had happened.
    with torch.random.fork_rng(devices=[]):
        return _Run(setup, options, on_event, should_stop).run()


def _describe(setup: TrainingSetup) -> str:
    patch = " x ".join(str(side) for side in setup.drawer.patch_size)
    return (
        f"Training on {len(setup.drawer.sources)} images, validating on {len(setup.validation)} of other groups; "
        f"{setup.batch_size} patches of {patch} a step, {setup.steps_per_epoch} steps an epoch, "
        f"on {setup.device} in {setup.precision}."
    )


@dataclass(eq=False)
class _Run:
    """One run's state."""

    setup: TrainingSetup
    options: TrainingOptions
    on_event: OnEvent
    should_stop: ShouldStop
    step: int = 0
    best: dict[str, float] | None = None
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    next_validation: float = 0.0
    stopped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        model, options = self.setup.model, self.options
        self.device = torch.device(self.setup.device)
        self.dtype = DTYPES[self.setup.precision]
        self.memory_format = torch.channels_last if model.config.spatial_dims == 2 else torch.channels_last_3d
        self.network = build_network(model.config)
        self.network.load_state_dict(model.network.state_dict())
        self.network.to(self.device).to(memory_format=self.memory_format)  # type: ignore[call-overload]  # not in stubs
        self.optimiser = make_optimiser(self.network, options.learning_rate, options.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.average = AveragedWeights(self.network, options.average_decay)
        self.random = np.random.default_rng([options.seed, 3])

    def run(self) -> TrainingResult:
        self.started = time.monotonic()
        torch.manual_seed(self.options.seed)
        with closing(prefetched(self._draw)) as batches:
            for epoch in itertools.count(1):
                self.history.append(self._epoch(epoch, batches))
                if self._validation_is_due():
                    self._validate(epoch)
                if self._is_over(epoch):
                    break
        result = self._result()
        self.on_event(Event("done", {"seconds": round(self._seconds(), 1), "stopped": self.stopped, **result.scores}))
        return result

    def _draw(self) -> Batch:
        return self.setup.drawer.draw_batch(self.setup.batch_size, self.random)

    def _epoch(self, epoch: int, batches: Iterator[Batch]) -> dict[str, float]:
        """Take one epoch's steps; return its row of the history."""
        losses: list[float] = []
        for batch in itertools.islice(batches, self.setup.steps_per_epoch):
            losses.append(self._step(batch))
            if self.should_stop():
                self.stopped = True
                break
            if self._progress() >= 1.0:
                break
        loss, seconds_left = float(np.mean(losses)), self._seconds_left()
        self.on_event(Event("epoch", {"epoch": epoch, "step": self.step, "loss": loss, "seconds_left": seconds_left}))
        return {"epoch": epoch, "step": self.step, "loss": loss, "seconds": self._seconds()}

    def _step(self, batch: Batch) -> float:
        rate = self.options.learning_rate * learning_rate_factor(self._progress())
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        pixels, target, weight = (torch.from_numpy(array).to(self.device) for array in batch)
        pixels = pixels.contiguous(memory_format=self.memory_format)
        self.network.train()
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            heads = self.network.heads(pixels)
        inner = tuple(slice(crop, size - crop) for crop, size in zip(self.setup.crop, target.shape[1:], strict=True))
        region = (slice(None), *inner)
        loss = deep_supervision_loss(heads, target[region], weight[region])
        self._update(loss)
        return float(loss.detach())

    def _update(self, loss: torch.Tensor) -> None:
        if not math.isfinite(float(loss.detach())):
            raise self._diverged()
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.gradient_limit)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        self.average.update(self.network)

    def _diverged(self) -> DivergedError:
        rate = self.options.learning_rate
        kept = "the best weights so far are kept" if self.best else "no epoch had been completed"
        return DivergedError(
            f"the loss became NaN or infinite at step {self.step + 1}; {kept}. "
            f"Train again with a lower learning rate ({rate / 5:g} instead of {rate:g}), or in precision fp32",
            self._result() if self.best else None,
        )

    def _validation_is_due(self) -> bool:
        """Whether to validate after this epoch.

        Always when epochs are counted, so that such a run repeats exactly. When only the time is limited, often enough
        for validation to take about a tenth of it, and at the end.
        """
        if self.stopped:
            return self.best is None
        if self.options.epoch_limit is not None or self._progress() >= 1.0:
            return True
        return self._seconds() >= self.next_validation

    def _validate(self, epoch: int) -> None:
        """Score the averaged weights, and keep them if they are the best so far."""
        began = self._seconds()
        state = self.average.snapshot()
        scores: dict[str, float] = {}
        if not self.stopped:
            setup = self.setup
            judged = setup.model.with_weights(state)
            try:
                scores = score_examples(judged, setup.validation, setup.device, setup.precision, self.should_stop)
            except Cancelled:
                self.stopped = True
        self.next_validation = self._seconds() + 9 * (self._seconds() - began)
        is_best = self.best is None or (bool(scores) and scores["score"] > self.best.get("score", -math.inf))
        if is_best:
            self.best, self.best_epoch, self.best_weights = scores, epoch, state
        if scores:
            self.history[-1].update(scores)
            self.on_event(Event("validation", {"epoch": epoch, "best": is_best, **scores}))

    def _is_over(self, epoch: int) -> bool:
        patience = self.options.epochs_of_patience
        if patience is not None and epoch - self.best_epoch >= patience and not self.stopped:
            message = f"No improvement for {patience} epochs: stopped early, best was epoch {self.best_epoch}."
            self.on_event(Event("notice", {"message": message}))
            return True
        return self.stopped or self._progress() >= 1.0

    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _progress(self) -> float:
        """Return how much of the budget is used, 0 to 1."""
        used = [0.0]
        if self.options.seconds is not None:
            used.append(self._seconds() / self.options.seconds)
        if self.options.epoch_limit is not None:
            used.append(self.step / (self.options.epoch_limit * self.setup.steps_per_epoch))
        return max(used)

    def _seconds_left(self) -> float:
        progress = self._progress()
        return round(self._seconds() * (1 - progress) / progress, 1) if progress else 0.0

    def _result(self) -> TrainingResult:
        scores = dict(self.best or {})
        card = self.setup.model.card.model_copy(update={"scores": {k: round(v, 4) for k, v in scores.items()}})
        model = replace(self.setup.model.with_weights(self.best_weights), card=card)
        return TrainingResult(model=model, scores=scores, history=self.history, stopped=self.stopped)
