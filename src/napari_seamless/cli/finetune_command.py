"""``napari-seamless finetune``: a model and corrections in, a better model out, and a comparison of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_seamless.cli import train_options as opt
from napari_seamless.cli.events import Reporter, reporting
from napari_seamless.cli.interrupt import stop_on_signal
from napari_seamless.cli.model_destination import ModelDestination, Preview
from napari_seamless.cli.option_groups import takes
from napari_seamless.cli.options import ChannelOption, EventsOption, ModelOption, OverwriteOption
from napari_seamless.cli.training_data import read_training_data
from napari_seamless.errors import Cancelled, DatasetError
from napari_seamless.events import Event

if TYPE_CHECKING:
    from napari_seamless.models.model import Model
    from napari_seamless.training.examples import Example
    from napari_seamless.training.finetune import FinetuneResult
    from napari_seamless.training.options import TrainingOptions

CORRECTIONS = "Corrections"

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


@takes(opt.TRAINING_GROUP, opt.TARGETS_GROUP, opt.AUGMENTATION_GROUP)
def finetune(
    model: ModelOption,
    out: opt.OutOption,
    training: dict[str, Any],
    targets: dict[str, Any],
    augmentation: dict[str, Any],
    image: ImagesOption = None,
    labels: LabelsOption = None,
    verified: VerifiedOption = None,
    workspace: WorkspacesOption = None,
    dataset: DatasetsOption = None,
    ignore: IgnoreOption = None,
    channel: ChannelOption = None,
    rehearse: RehearseOption = None,
    classes: NewClassesOption = None,
    task: NewTaskOption = None,
    half: opt.HalfOption = False,
    overwrite: OverwriteOption = False,
    events: EventsOption = None,
    resume: opt.ResumeOption = False,
    preview: opt.PreviewOption = None,
    preview_seconds: opt.PreviewSecondsOption = 5.0,
) -> None:
    """Fine-tune a model on corrections, and say whether it got better. Ctrl-C keeps the best weights so far.

    The new model is saved in any case; whether to use it is for you to judge, by the scores of both. Without a limit
    it takes 60 seconds.
    """
    given = _Corrections(image or [], labels or [], verified or [], workspace or [], dataset or [], ignore, channel)
    chosen = {**opt.TRAINING_GROUP.changed(training), "targets": targets, "augmentation": augmentation}
    meaning = {"classes": classes.split(",") if classes else None, "task": task}
    with reporting(events) as reporter:
        shown = None if preview is None else Preview(preview, reporter.on_event)
        job = _Job(reporter, ModelDestination(out, half, overwrite, resume), shown, preview_seconds)
        job.run(model, given, rehearse or [], chosen, meaning)


@dataclass(frozen=True)
class _Corrections:
    """What was given to learn from."""

    images: list[Path]
    labels: list[Path]
    verified: list[Path]
    workspaces: list[Path]
    datasets: list[Path]
    ignore: int | None
    channel: int | str | None

    def read(self) -> list[Example]:
        from napari_seamless.training.dataset import open_pair
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
            examples += read_training_data(self.datasets, self.ignore)
        if not examples:
            raise DatasetError("fine-tuning needs corrections: give --workspace, --image with --labels, or --dataset")
        return examples if self.channel is None else _in_one_channel(examples, self.channel)

    @property
    def names(self) -> tuple[str, ...]:
        """For the model's card."""
        return tuple(path.name for path in (*self.images, *self.workspaces, *self.datasets))


def _in_one_channel(examples: list[Example], channel: int | str) -> list[Example]:
    """Return the examples with one channel of their images; those that share an image go on sharing it."""
    from napari_seamless.images.one_channel import one_channel

    images = {id(example.image): example.image for example in examples}
    single = {key: one_channel(image, channel) for key, image in images.items()}
    return [replace(example, image=single[id(example.image)]) for example in examples]


@dataclass(frozen=True)
class _Job:
    """One run of the command."""

    reporter: Reporter
    destination: ModelDestination
    preview: Preview | None
    preview_seconds: float

    def run(
        self,
        model: str,
        given: _Corrections,
        rehearse: list[Path],
        chosen: dict[str, Any],
        meaning: dict[str, Any],
    ) -> None:
        """Fine-tune, and keep what was learnt, however it ends."""
        from napari_seamless.models.library import load_model
        from napari_seamless.training.loop import DivergedError

        self.destination.check()
        if self.preview is not None:
            self.preview.check()
        parent = load_model(model)
        options = _options(parent, chosen)
        examples = given.read()
        try:
            result = self._finetune(parent, examples, rehearse, options, meaning)
        except DivergedError as error:
            if error.result is not None:
                self._keep(error.result.model, parent, given)
            raise
        self._keep(result.model, parent, given)
        if not result.stopped:
            self.destination.forget_run()
        self._say(result)

    def _finetune(
        self,
        parent: Model,
        examples: list[Example],
        rehearse: list[Path],
        options: TrainingOptions,
        meaning: dict[str, Any],
    ) -> FinetuneResult:
        from napari_seamless.training.finetune import finetune as finetune_model

        with stop_on_signal() as should_stop:
            return finetune_model(
                parent,
                examples,
                rehearse=rehearse,
                name=self.destination.name,
                options=options,
                checkpoint=self.destination.checkpoint,
                keep_checkpoint=True,
                resume=self.destination.resume,
                overwrite=self.destination.overwrite,
                curves=self.destination.curves,
                on_snapshot=self._show if self.preview is not None else None,
                snapshot_seconds=self.preview_seconds,
                on_event=self.reporter.on_event,
                should_stop=should_stop,
                **meaning,
            )

    def _show(self, model: Model) -> None:
        if self.preview is not None:
            self.preview.show(model, self.reporter.facts["step"]["step"])

    def _keep(self, model: Model, parent: Model, given: _Corrections) -> None:
        """Save a model whose card says what the parent's says, and what was added."""
        learned = (*parent.card.training_data, *given.names)
        card = parent.card.model_dump(exclude={"scores", "command", "created"}) | {"training_data": learned}
        replace(self.destination, card=card).keep(model)
        self.reporter.on_event(Event("written", {"path": str(self.destination.out)}))

    def _say(self, result: FinetuneResult) -> None:
        self.reporter.say(result.verdict)
        if result.stopped:
            raise Cancelled(f"the fine-tuning was stopped; the best weights so far are in {self.destination.out}")
        self.reporter.say(f"model: {self.destination.out}")


def _options(parent: Model, chosen: dict[str, Any]) -> TrainingOptions:
    from napari_seamless.training.augmentation import AugmentationOptions
    from napari_seamless.training.finetune import finetune_options
    from napari_seamless.training.target_options import TargetOptions

    parts = {
        "targets": TargetOptions(**chosen["targets"]),
        "augmentation": AugmentationOptions(**chosen["augmentation"]),
    }
    return finetune_options(parent, **{**chosen, **parts})
