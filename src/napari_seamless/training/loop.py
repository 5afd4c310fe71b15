"""Training: data in, a model with its scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from napari_seamless.errors import TrainingError
from napari_seamless.events import Event, OnEvent, ShouldStop, ignore_event, never_stop
from napari_seamless.models.model import Model
from napari_seamless.training.checkpoint import (
    Checkpoint,
    check_no_checkpoint,
    check_same_run,
    read_checkpoint,
)
from napari_seamless.training.class_weights import resolve_class_weights
from napari_seamless.training.examples import Example
from napari_seamless.training.fingerprint import fingerprint
from napari_seamless.training.keeping import OnSnapshot, Outlets
from napari_seamless.training.learner import Learner
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.result import DivergedError, TrainingResult
from napari_seamless.training.run import Run
from napari_seamless.training.run_state import RunState
from napari_seamless.training.setup import TrainingSetup, default_model, prepare_training, read_examples

__all__ = ["DivergedError", "TrainingResult", "train"]


def train(
    data: Sequence[str | Path | Example] | str | Path,
    options: TrainingOptions | None = None,
    *,
    model: Model | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    keep_checkpoint: bool = False,
    curves: Path | None = None,
    price: bool = True,
    on_event: OnEvent = ignore_event,
    should_stop: ShouldStop = never_stop,
    on_snapshot: OnSnapshot | None = None,
    snapshot_seconds: float = 5.0,
    **settings: Any,
) -> TrainingResult:
    """Train a network on annotated images.

    Parameters
    ----------
    data : path, or sequence of paths or of Example
        Folders with ``images/`` and ``labels/``.
    options : TrainingOptions, optional
        Budget, patches, learning rate, augmentation, seed, device.
    model : Model, optional
        What to train, starting from its weights. By default a fresh model that fits the data.
    checkpoint : Path, optional
        A file to go on from after an interruption. It is written at every new best, every
        ``options.checkpoint_seconds`` and when the run is stopped, and removed when the run has ended by itself.
    resume : bool
        Go on from `checkpoint`, if it is there, as if the run had never been interrupted: on the CPU, and limited by
        epochs or steps, to the same bits.
    overwrite : bool
        Replace a checkpoint that is there.
    keep_checkpoint : bool
        Leave the checkpoint of a finished run to the caller, who removes it once the model is safe (see
        `checkpoint.remove_checkpoint`); resumed, such a run gives its result at once.
    curves : Path, optional
        Learning curves are written to this name with ``.csv`` and ``.png`` added, at every validation.
    price : bool
        Measure what each level of a UNet++ is worth and costs when the training has ended.
    on_event : callable
        Receives ``notice`` (message), ``step`` (epoch, step, loss, seconds_left) every 2 s, ``epoch`` (the same, with
        the mean loss), ``validation`` (epoch, step, best, score and the task's scores) and ``done`` (seconds, waited:
        those of them that were spent waiting for patches, stopped, the scores). Without an end, or before the first
        step, seconds_left is None.
    should_stop : callable
        Asked after each step. On True the run ends and gives the best weights so far.
    on_snapshot : callable, optional
        Receives a model with the present averaged weights every `snapshot_seconds`; the training waits for it.
    **settings
        Without `model`: ``task``, ``architecture``, ``features``, ``input_kind``, ``classes``, ``name`` and further
        settings of `NetworkConfig`; see `setup.default_model`.

    Returns
    -------
    TrainingResult

    Raises
    ------
    DatasetError, ChannelError, ConfigError, TrainingError, DeviceError
        Before training, if data, model and options do not fit, or differ from the checkpoint's.
    OutputExistsError
        If there is a checkpoint that is neither to be resumed nor to be overwritten.
    DivergedError
        If the loss becomes NaN or infinite; it carries the best weights so far.
    """
    options = options or TrainingOptions()
    saved = _saved(checkpoint, resume=resume, overwrite=overwrite)
    examples = read_examples(data)
    if model is None:
        model = default_model(examples, seed=options.seed, **settings)
    elif settings:
        raise TrainingError(f"a given model has its settings already: leave out {sorted(settings)}")
    setup = prepare_training(examples, model, _as_resolved(options, saved))
    started_with = fingerprint(examples, setup, options)
    if saved is not None and checkpoint is not None:
        check_same_run(saved, started_with, checkpoint)
    for notice in (*setup.notices, _describe(setup)):
        on_event(Event("notice", {"message": notice}))
    outlets = Outlets(
        on_event=on_event,
        should_stop=should_stop,
        on_snapshot=on_snapshot,
        snapshot_seconds=snapshot_seconds,
        checkpoint=checkpoint,
        keep_checkpoint=keep_checkpoint,
        fingerprint=started_with,
        curves=curves,
        price=price,
    )
    # Building networks draws random numbers; the caller's own sequence goes on as if nothing had happened.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        run = Run(setup, options, Learner(setup, options, resolve_class_weights(setup, options)), outlets)
        if saved is not None:
            run.restore(saved)
        if resume:
            on_event(Event("notice", {"message": _where_from(run.state, found=saved is not None)}))
        return run.run()


def _saved(path: Path | None, *, resume: bool, overwrite: bool) -> Checkpoint | None:
    if path is None:
        if resume:
            raise TrainingError("resume needs the checkpoint to go on from: give `checkpoint`, too")
        return None
    if resume:
        return read_checkpoint(path) if path.exists() else None
    if not overwrite:
        check_no_checkpoint(path)
    return None


def _as_resolved(options: TrainingOptions, saved: Checkpoint | None) -> TrainingOptions:
    """Return the options with what was chosen for the memory that was free when the run began."""
    if saved is None:
        return options
    resolved = dict(saved.resolved)
    return replace(options, patch_size=tuple(resolved.pop("patch_size")), **resolved)


def _describe(setup: TrainingSetup) -> str:
    patch = " x ".join(str(side) for side in setup.drawer.patch_size)
    validation = f"validating on {len(setup.validation)} of other groups" if setup.validation else "without validation"
    return (
        f"Training on {len(setup.drawer.sources)} images, {validation}; "
        f"{setup.batch_size} patches of {patch} a step, {setup.steps_per_epoch} steps an epoch, "
        f"on {setup.device} in {setup.precision}."
    )


def _where_from(state: RunState, *, found: bool) -> str:
    if not found:
        return "There is no checkpoint to go on from: starting from the beginning."
    return f"Going on from step {state.step}, in epoch {state.epoch}."
