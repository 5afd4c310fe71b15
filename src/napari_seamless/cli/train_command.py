"""``napari-seamless train``: annotated images in, a model out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_seamless.cli import train_options as opt
from napari_seamless.cli.events import Reporter, reporting
from napari_seamless.cli.interrupt import stop_on_signal
from napari_seamless.cli.model_destination import ModelDestination, Preview
from napari_seamless.cli.network_options import NETWORK_GROUP, StartFromOption
from napari_seamless.cli.option_groups import takes
from napari_seamless.cli.options import EventsOption, OverwriteOption, parse_numbers
from napari_seamless.cli.training_data import read_training_data
from napari_seamless.cli.units import counted, seconds_text
from napari_seamless.errors import Cancelled
from napari_seamless.events import Event

if TYPE_CHECKING:
    from napari_seamless.models.model import Model
    from napari_seamless.training.examples import Example
    from napari_seamless.training.options import TrainingOptions
    from napari_seamless.training.result import TrainingResult


@takes(opt.TRAINING_GROUP, NETWORK_GROUP, opt.TARGETS_GROUP, opt.AUGMENTATION_GROUP, opt.CARD_GROUP)
def train(
    datasets: opt.DatasetArguments,
    out: opt.OutOption,
    training: dict[str, Any],
    network: dict[str, Any],
    targets: dict[str, Any],
    augmentation: dict[str, Any],
    card: dict[str, Any],
    task: opt.TaskOption = "instances",
    half: opt.HalfOption = False,
    overwrite: OverwriteOption = False,
    events: EventsOption = None,
    ignore: opt.IgnoreOption = None,
    start_from: StartFromOption = None,
    resume: opt.ResumeOption = False,
    preview: opt.PreviewOption = None,
    preview_seconds: opt.PreviewSecondsOption = 5.0,
) -> None:
    """Train a model on annotated images. Ctrl-C ends the training and keeps the best weights so far."""
    sources = tuple(card["training_data"] or (path.name for path in datasets))
    destination = ModelDestination(out, half, overwrite, resume, {**card, "training_data": sources})
    if start_from is not None:
        _refuse_network_options(network)
        network = {"start_from": start_from, "name": destination.name}
    else:
        network = {**network, "task": task, "name": destination.name}
    with reporting(events) as reporter:
        shown = None if preview is None else Preview(preview, reporter.on_event)
        job = _Job(reporter, destination, shown, preview_seconds)
        job.run(datasets, ignore, network, {**training, "targets": targets, "augmentation": augmentation})


def _refuse_network_options(network: dict[str, Any]) -> None:
    defaults = {**NETWORK_GROUP.defaults, "features": parse_numbers(NETWORK_GROUP.defaults["features"])}
    changed = [key for key, value in network.items() if value != defaults[key]]
    if changed:
        raise typer.BadParameter(
            f"--start-from takes the network as it is in the model: leave out {', '.join(changed)}",
            param_hint="network",
        )


@dataclass(frozen=True)
class _Job:
    """One run of the command."""

    reporter: Reporter
    destination: ModelDestination
    preview: Preview | None
    preview_seconds: float

    def run(self, datasets: list[Path], ignore: int | None, network: dict[str, Any], training: dict[str, Any]) -> None:
        """Train, and keep what was learnt, however it ends."""
        from napari_seamless.training.loop import DivergedError

        self.destination.check()
        if self.preview is not None:
            self.preview.check()
        options = _options(training)
        if "start_from" in network:
            network = {"model": _first_model(**network)}
        examples = read_training_data(datasets, ignore)
        try:
            result = self._train(examples, options, network)
        except DivergedError as error:
            if error.result is not None:
                self._keep(error.result.model)
            raise
        self._keep(result.model)
        if not result.stopped:
            self.destination.forget_run()
        _say_how_it_went(self.reporter, result, self.destination.out)

    def _train(self, examples: list[Example], options: TrainingOptions, network: dict[str, Any]) -> TrainingResult:
        from napari_seamless.training.loop import train as train_model

        with stop_on_signal() as should_stop:
            return train_model(
                examples,
                options,
                checkpoint=self.destination.checkpoint,
                resume=self.destination.resume,
                overwrite=self.destination.overwrite,
                keep_checkpoint=True,
                curves=self.destination.curves,
                on_event=self.reporter.on_event,
                should_stop=should_stop,
                on_snapshot=self._show if self.preview is not None else None,
                snapshot_seconds=self.preview_seconds,
                **network,
            )

    def _keep(self, model: Model) -> None:
        self.destination.keep(model)
        self.reporter.on_event(Event("written", {"path": str(self.destination.out)}))

    def _show(self, model: Model) -> None:
        if self.preview is not None:
            self.preview.show(model, self.reporter.facts["step"]["step"])


def _options(training: dict[str, Any]) -> TrainingOptions:
    from napari_seamless.training.augmentation import AugmentationOptions
    from napari_seamless.training.options import TrainingOptions
    from napari_seamless.training.target_options import TargetOptions

    parts = {
        "targets": TargetOptions(**training["targets"]),
        "augmentation": AugmentationOptions(**training["augmentation"]),
    }
    return TrainingOptions(**{**training, **parts})


def _first_model(start_from: str, name: str) -> Model:
    """Load the model to go on from; the new one remembers it as its parent unless it only takes its place."""
    from napari_seamless.models.library import load_model

    parent = load_model(start_from)
    return replace(parent, name=name, parent=parent.name if parent.name != name else parent.parent)


def _say_how_it_went(reporter: Reporter, result: TrainingResult, out: Path) -> None:
    epochs, seconds = counted(len(result.history), "epoch"), result.history[-1]["seconds"]
    scores = ", ".join(f"{name} {value:.3f}" for name, value in result.scores.items() if name != "score")
    if result.stopped:
        best = f"the best weights are in {out} ({scores})" if scores else f"the weights are in {out}"
        raise Cancelled(f"the training was stopped after {epochs}; {best}. Go on with --resume")
    judged = f"on the images held out: {scores}" if scores else "nothing was held out to judge it by"
    reporter.say(f"{epochs} in {seconds_text(seconds)}; {judged}")
    reporter.say(f"model: {out}")
