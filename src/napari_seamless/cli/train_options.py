"""The options of ``napari-seamless train``, by the panel of the help page that they stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_seamless.cli.options import parse_numbers

NETWORK = "Network"
TRAINING = "Training"
CARD = "What the model's card says"

DatasetArguments = Annotated[
    list[Path], typer.Argument(metavar="DATASET...", help="Folders with images/ and labels/, files of the same names.")
]
OutOption = Annotated[Path, typer.Option("--out", metavar="MODEL", help="The new model: a folder, or a .zip file.")]
TaskOption = Annotated[
    Literal["instances", "semantic"], typer.Option("--task", help="What the labels hold: ids of objects, or classes.")
]
SecondsOption = Annotated[float | None, typer.Option("--seconds", metavar="N", help="Stop after so many seconds.")]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", metavar="N", help="Stop after so many epochs; 40 without either limit.")
]
HalfOption = Annotated[bool, typer.Option("--half", help="Store the weights in half precision.")]

StartFromOption = Annotated[
    str | None,
    typer.Option(
        "--start-from",
        metavar="MODEL",
        help="Go on from a model's weights; its network and task stay as they are.",
        rich_help_panel=NETWORK,
    ),
]
ArchitectureOption = Annotated[Literal["unetpp", "unet"], typer.Option("--architecture", rich_help_panel=NETWORK)]
FeaturesOption = Annotated[
    Any,
    typer.Option(
        "--features",
        metavar="N,N...",
        parser=parse_numbers,
        help="Channels of each level, the finest first.",
        rich_help_panel=NETWORK,
    ),
]
UpsampleOption = Annotated[
    Literal["transposed", "nearest", "bilinear", "unpool"], typer.Option("--upsample", rich_help_panel=NETWORK)
]
InputOption = Annotated[
    Literal["grey", "colour", "channels"] | None,
    typer.Option("--input", help="What the network is fed; by default what the images are.", rich_help_panel=NETWORK),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes", metavar="A,B...", help="Names of semantic classes, background first.", rich_help_panel=NETWORK
    ),
]

PatchSizeOption = Annotated[
    Any,
    typer.Option(
        "--patch-size", metavar="N,N...", parser=parse_numbers, help="Pixels per axis.", rich_help_panel=TRAINING
    ),
]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", help="Patches a step.", rich_help_panel=TRAINING)
]
LearningRateOption = Annotated[float, typer.Option("--learning-rate", metavar="X", rich_help_panel=TRAINING)]
ValidationFractionOption = Annotated[
    float,
    typer.Option(
        "--validation-fraction", metavar="X", help="Share of the image groups held out.", rich_help_panel=TRAINING
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", rich_help_panel=TRAINING)]
TrainingPrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16"], typer.Option("--precision", rich_help_panel=TRAINING)
]

DescriptionOption = Annotated[str, typer.Option("--description", help="One line.", rich_help_panel=CARD)]
LicenceOption = Annotated[str, typer.Option("--licence", help="SPDX identifier.", rich_help_panel=CARD)]
SourceOption = Annotated[
    list[str] | None,
    typer.Option("--source", help="Where the images are from; may be repeated.", rich_help_panel=CARD),
]
CitationOption = Annotated[str, typer.Option("--citation", help="What to cite.", rich_help_panel=CARD)]
NotesOption = Annotated[str, typer.Option("--notes", help="Anything else worth knowing.", rich_help_panel=CARD)]
