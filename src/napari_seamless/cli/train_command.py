"""``napari-seamless train``: folders of annotated images in, a model out."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seamless.cli import train_options as opt
from napari_seamless.cli.events import Reporter, reporting
from napari_seamless.cli.interrupt import stop_on_signal
from napari_seamless.cli.options import DeviceOption, EventsOption, OverwriteOption
from napari_seamless.cli.units import counted, seconds_text
from napari_seamless.errors import Cancelled

if TYPE_CHECKING:
    from napari_seamless.models.model import Model
    from napari_seamless.training.loop import TrainingResult


def train(
    datasets: opt.DatasetArguments,
    out: opt.OutOption,
    task: opt.TaskOption = "instances",
    seconds: opt.SecondsOption = None,
    epochs: opt.EpochsOption = None,
    half: opt.HalfOption = False,
    overwrite: OverwriteOption = False,
    events: EventsOption = None,
    device: DeviceOption = "auto",
    start_from: opt.StartFromOption = None,
    architecture: opt.ArchitectureOption = "unetpp",
    features: opt.FeaturesOption = "16,32,64,128,256",
    upsample: opt.UpsampleOption = "transposed",
    input_kind: opt.InputOption = None,
    classes: opt.ClassesOption = None,
    patch_size: opt.PatchSizeOption = None,
    batch_size: opt.BatchSizeOption = None,
    learning_rate: opt.LearningRateOption = 2e-3,
    validation_fraction: opt.ValidationFractionOption = 0.15,
    seed: opt.SeedOption = 0,
    precision: opt.TrainingPrecisionOption = "auto",
    description: opt.DescriptionOption = "",
    licence: opt.LicenceOption = "",
    source: opt.SourceOption = None,
    citation: opt.CitationOption = "",
    notes: opt.NotesOption = "",
) -> None:
    """Train a model on annotated images. Ctrl-C ends the training and keeps the best weights so far."""
    model = {
        **{"task": task, "architecture": architecture, "features": features, "upsample": upsample},
        **{"input_kind": input_kind, "classes": classes.split(",") if classes else None, "name": out.stem},
    }
    if start_from is not None:
        model = {"start_from": start_from, "name": out.stem}
    training = {
        **{"seconds": seconds, "epochs": epochs, "patch_size": patch_size, "batch_size": batch_size, "seed": seed},
        **{"learning_rate": learning_rate, "validation_fraction": validation_fraction},
        **{"precision": precision, "device": device},
    }
    card = {
        **{"description": description, "licence": licence, "citation": citation, "notes": notes},
        "training_data": tuple(source or (path.name for path in datasets)),
    }
    with reporting(events) as reporter:
        _train(reporter, datasets, model, training, _Destination(out, card, half, overwrite))


@dataclass(frozen=True)
class _Destination:
    """Where the model goes, and what its card says."""

    out: Path
    card: dict[str, Any]
    half: bool
    overwrite: bool

    def check(self) -> None:
        """Refuse, before a long training, what could not be written after it."""
        from napari_seamless.models.package import check_model_output

        check_model_output(self.out, overwrite=self.overwrite)

    def keep(self, result: TrainingResult) -> None:
        """Save the best weights with their card."""
        from napari_seamless.models.package import save_model

        command = shlex.join(["napari-seamless", *sys.argv[1:]])
        added = {**self.card, "command": command, "created": date.today().isoformat()}
        model = replace(result.model, card=result.model.card.model_copy(update=added))
        save_model(model, self.out, weight_type="float16" if self.half else "float32", overwrite=self.overwrite)


def _train(
    reporter: Reporter,
    datasets: list[Path],
    model: dict[str, Any],
    training: dict[str, Any],
    destination: _Destination,
) -> None:
    from napari_seamless.training.loop import DivergedError
    from napari_seamless.training.loop import train as train_model
    from napari_seamless.training.options import TrainingOptions

    destination.check()
    options = TrainingOptions(**training)
    if "start_from" in model:
        model = {"model": _first_model(**model)}
    with stop_on_signal() as should_stop:
        try:
            result = train_model(datasets, options, on_event=reporter.on_event, should_stop=should_stop, **model)
        except DivergedError as error:
            if error.result is not None:
                destination.keep(error.result)
            raise
        destination.keep(result)
    _say_how_it_went(reporter, result, destination.out)


def _first_model(start_from: str, name: str) -> Model:
    """Load the model to go on from; the new one remembers it as its parent unless it only takes its place."""
    from napari_seamless.models.library import load_model

    parent = load_model(start_from)
    return replace(parent, name=name, parent=parent.name if parent.name != name else parent.parent)


def _say_how_it_went(reporter: Reporter, result: TrainingResult, out: Path) -> None:
    epochs, seconds = counted(len(result.history), "epoch"), result.history[-1]["seconds"]
    scores = ", ".join(f"{name} {value:.3f}" for name, value in result.scores.items() if name != "score")
    if result.stopped:
        raise Cancelled(f"the training was stopped after {epochs}; the best weights are in {out} ({scores})")
    reporter.say(f"{epochs} in {seconds_text(seconds)}; on the images held out: {scores}")
    reporter.say(f"model: {out}")
