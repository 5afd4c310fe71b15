"""``napari-seamless finetune``: a model and corrections in, a better model out, and a comparison of both."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_seamless.cli import train_options as opt
from napari_seamless.cli.events import Reporter, reporting
from napari_seamless.cli.interrupt import stop_on_signal
from napari_seamless.cli.options import DeviceOption, EventsOption, ModelOption, OverwriteOption
from napari_seamless.errors import Cancelled, DatasetError
from napari_seamless.events import Event

if TYPE_CHECKING:
    from napari_seamless.models.model import Model
    from napari_seamless.training.examples import Example
    from napari_seamless.training.finetune import FinetuneResult

CORRECTIONS = "Corrections"
LIVE = "While it runs"

ImagesOption = Annotated[
    list[Path] | None,
    typer.Option("--image", metavar="IMAGE", help="May be repeated, with --labels.", rich_help_panel=CORRECTIONS),
]
LabelsOption = Annotated[
    list[Path] | None,
    typer.Option("--labels", metavar="LABELS", help="Of the image at the same place.", rich_help_panel=CORRECTIONS),
]
VerifiedOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--verified",
        metavar="MASK",
        help="Pixels that are right: not 0. Without it, all are.",
        rich_help_panel=CORRECTIONS,
    ),
]
WorkspacesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--workspace",
        metavar="FOLDER",
        help="What was corrected in napari: a folder IMAGE.seamless. May be repeated.",
        rich_help_panel=CORRECTIONS,
    ),
]
DatasetsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--dataset",
        metavar="DATASET",
        help="A folder with images/, labels/ and, if not all is annotated, verified/. May be repeated.",
        rich_help_panel=CORRECTIONS,
    ),
]
IgnoreOption = Annotated[
    int | None,
    typer.Option("--ignore", metavar="N", help="Label that means 'not annotated'.", rich_help_panel=CORRECTIONS),
]
RehearseOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--rehearse",
        metavar="DATASET",
        help="Earlier examples that must not be forgotten, besides those that the model carries. May be repeated.",
        rich_help_panel=CORRECTIONS,
    ),
]
NewClassesOption = Annotated[
    str | None,
    typer.Option("--classes", metavar="A,B...", help="All classes, background first; new ones at the end."),
]
NewTaskOption = Annotated[
    Literal["instances", "semantic"] | None,
    typer.Option("--task", help="What the labels hold, if the model did something else so far."),
]
StepsOption = Annotated[int | None, typer.Option("--steps", metavar="N", help="Stop after so many optimiser steps.")]
UntilStoppedOption = Annotated[bool, typer.Option("--until-stopped", help="Go on until Ctrl-C.")]
PreviewOption = Annotated[
    Path | None,
    typer.Option(
        "--preview", metavar="FOLDER", help="Save the model here every few seconds, as it is.", rich_help_panel=LIVE
    ),
]
PreviewSecondsOption = Annotated[float, typer.Option("--preview-seconds", metavar="N", rich_help_panel=LIVE)]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on where an interrupted run stopped.", rich_help_panel=LIVE)
]
RateOption = Annotated[float | None, typer.Option("--learning-rate", metavar="X", rich_help_panel=opt.TRAINING)]
EncoderRateOption = Annotated[
    float | None,
    typer.Option(
        "--encoder-rate",
        metavar="X",
        help="Factor on the learning rate of the contracting path.",
        rich_help_panel=opt.TRAINING,
    ),
]


def finetune(
    model: ModelOption,
    out: opt.OutOption,
    image: ImagesOption = None,
    labels: LabelsOption = None,
    verified: VerifiedOption = None,
    workspace: WorkspacesOption = None,
    dataset: DatasetsOption = None,
    ignore: IgnoreOption = None,
    rehearse: RehearseOption = None,
    seconds: opt.SecondsOption = None,
    steps: StepsOption = None,
    until_stopped: UntilStoppedOption = False,
    classes: NewClassesOption = None,
    task: NewTaskOption = None,
    half: opt.HalfOption = False,
    overwrite: OverwriteOption = False,
    events: EventsOption = None,
    device: DeviceOption = "auto",
    preview: PreviewOption = None,
    preview_seconds: PreviewSecondsOption = 5.0,
    resume: ResumeOption = False,
    patch_size: opt.PatchSizeOption = None,
    batch_size: opt.BatchSizeOption = None,
    learning_rate: RateOption = None,
    encoder_rate: EncoderRateOption = None,
    seed: opt.SeedOption = 0,
) -> None:
    """Fine-tune a model on corrections, and say whether it got better. Ctrl-C keeps the best weights so far.

    The new model is saved in any case; whether to use it is for you to judge, by the scores of both.
    """
    given = _Corrections(image or [], labels or [], verified or [], workspace or [], dataset or [], ignore)
    chosen: dict[str, Any] = {"seconds": seconds, "steps": steps, "until_stopped": until_stopped or None, "seed": seed}
    chosen |= {"patch_size": patch_size, "batch_size": batch_size, "device": device}
    chosen |= {"learning_rate": learning_rate, "encoder_rate": encoder_rate}
    meaning = {"classes": classes.split(",") if classes else None, "task": task}
    with reporting(events) as reporter:
        job = _Job(reporter, model, out, preview, preview_seconds, half=half, overwrite=overwrite, resume=resume)
        job.run(given, rehearse or [], {name: value for name, value in chosen.items() if value is not None}, meaning)


@dataclass(frozen=True)
class _Corrections:
    """What was given to learn from."""

    images: list[Path]
    labels: list[Path]
    verified: list[Path]
    workspaces: list[Path]
    datasets: list[Path]
    ignore: int | None

    def read(self) -> list[Example]:
        from napari_seamless.training.dataset import check_together, open_datasets, open_pair
        from napari_seamless.workspace.training_examples import workspace_examples

        if len(self.images) != len(self.labels) or len(self.verified) not in (0, len(self.images)):
            raise DatasetError(
                f"every --image needs its --labels, and either all of them their --verified, but there are "
                f"{len(self.images)}, {len(self.labels)} and {len(self.verified)}"
            )
        masks: list[Path | None] = [*self.verified] or [None] * len(self.images)
        examples = [
            open_pair(image, labels, mask, ignore=self.ignore)
            for image, labels, mask in zip(self.images, self.labels, masks, strict=True)
        ]
        examples += [example for folder in self.workspaces for example in workspace_examples(folder)]
        if self.datasets:
            examples += open_datasets(self.datasets, self.ignore)
        if not examples:
            raise DatasetError("fine-tuning needs corrections: give --workspace, --image with --labels, or --dataset")
        check_together(examples)
        return examples

    @property
    def names(self) -> tuple[str, ...]:
        """For the model's card."""
        return tuple(path.name for path in (*self.images, *self.workspaces, *self.datasets))


@dataclass(frozen=True)
class _Job:
    """One run of the command."""

    reporter: Reporter
    model: str
    out: Path
    preview: Path | None
    preview_seconds: float
    half: bool
    overwrite: bool
    resume: bool

    def run(self, given: _Corrections, rehearse: list[Path], chosen: dict[str, Any], meaning: dict[str, Any]) -> None:
        from napari_seamless.models.library import load_model
        from napari_seamless.models.package import check_model_output
        from napari_seamless.training.checkpoint import remove_checkpoint
        from napari_seamless.training.finetune import finetune as finetune_model
        from napari_seamless.training.finetune import finetune_options
        from napari_seamless.training.loop import DivergedError

        check_model_output(self.out, overwrite=self.overwrite)
        parent = load_model(self.model)
        options = finetune_options(parent, **chosen)
        examples = given.read()
        beside = self.out.with_suffix("") if self.out.suffix == ".zip" else self.out
        checkpoint = beside.with_name(f"{beside.name}.checkpoint.safetensors")
        with stop_on_signal() as should_stop:
            try:
                result = finetune_model(
                    parent,
                    examples,
                    rehearse=rehearse,
                    name=beside.name,
                    options=options,
                    checkpoint=checkpoint,
                    keep_checkpoint=True,
                    resume=self.resume,
                    overwrite=self.overwrite,
                    curves=beside.with_name(f"{beside.name}.curves"),
                    on_snapshot=self._show if self.preview is not None else None,
                    snapshot_seconds=self.preview_seconds,
                    on_event=self.reporter.on_event,
                    should_stop=should_stop,
                    **meaning,
                )
            except DivergedError as error:
                if error.result is not None:
                    self._save(error.result.model, parent, given)
                raise
            self._save(result.model, parent, given)
            if not result.stopped:
                remove_checkpoint(checkpoint)
        self._say(result)

    def _show(self, model: Model) -> None:
        from napari_seamless.models.package import save_model

        if self.preview is not None:
            save_model(model, self.preview, weight_type="float16", overwrite=True)
            self.reporter.on_event(Event("snapshot", {"path": str(self.preview)}))

    def _save(self, model: Model, parent: Model, given: _Corrections) -> None:
        from napari_seamless.models.package import save_model

        card = parent.card.model_copy(
            update={
                "training_data": (*parent.card.training_data, *given.names),
                "command": shlex.join(["napari-seamless", *sys.argv[1:]]),
                "created": date.today().isoformat(),
                "scores": model.card.scores,
            }
        )
        weight_type: Literal["float16", "float32"] = "float16" if self.half else "float32"
        save_model(replace(model, card=card), self.out, weight_type=weight_type, overwrite=self.overwrite)
        self.reporter.on_event(Event("written", {"path": str(self.out)}))

    def _say(self, result: FinetuneResult) -> None:
        self.reporter.say(result.verdict)
        if result.stopped:
            raise Cancelled(f"the fine-tuning was stopped; the best weights so far are in {self.out}")
        self.reporter.say(f"model: {self.out}")
