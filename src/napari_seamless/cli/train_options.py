"""The options of ``napari-seamless train``, by the panel of the help page that they stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_seamless.cli.option_groups import OptionGroup, defaults_of
from napari_seamless.cli.options import DeviceOption, parse_numbers
from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.target_options import TargetOptions

TRAINING = "Training"
LOSS = "Loss and targets"
AUGMENTATION = "Augmentation"
LIVE = "While it runs"
CARD = "What the model's card says"


def parse_class_weights(text: str) -> str | tuple[float, ...]:
    """Turn the text of ``--class-weights`` into "none", "balanced" or one number a class."""
    if text in ("none", "balanced"):
        return text
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither 'none' nor 'balanced' nor one number a class such as 1,5"
        ) from None


def number(panel: str, name: str, help_text: str | None = None) -> Any:
    """Return the type of an option that is a number."""
    return Annotated[float, typer.Option(name, metavar="X", help=help_text, rich_help_panel=panel)]


DatasetArguments = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATASET...",
        help="Folders with images/ and labels/ (and verified/), files of the same names; or what was painted in "
        "napari: folders IMAGE.seamless.",
    ),
]
OutOption = Annotated[Path, typer.Option("--out", metavar="MODEL", help="The new model: a folder, or a .zip file.")]
TaskOption = Annotated[
    Literal["instances", "semantic"], typer.Option("--task", help="What the labels hold: ids of objects, or classes.")
]
HalfOption = Annotated[bool, typer.Option("--half", help="Store the weights in half precision.")]
IgnoreOption = Annotated[
    int | None, typer.Option("--ignore", metavar="N", help="Label that means 'not annotated'.", rich_help_panel=LOSS)
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on from the checkpoint that an interrupted run left beside MODEL.", rich_help_panel=LIVE
    ),
]
PreviewOption = Annotated[
    Path | None,
    typer.Option(
        "--preview", metavar="FOLDER", help="Save the model here every few seconds, as it is.", rich_help_panel=LIVE
    ),
]
PreviewSecondsOption = Annotated[float, typer.Option("--preview-seconds", metavar="N", min=0.0, rich_help_panel=LIVE)]

SecondsOption = Annotated[float | None, typer.Option("--seconds", metavar="N", help="Stop after so many seconds.")]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", metavar="N", help="Stop after so many epochs; 40 without any limit.")
]
StepsOption = Annotated[int | None, typer.Option("--steps", metavar="N", help="Stop after so many optimiser steps.")]
UntilStoppedOption = Annotated[
    bool, typer.Option("--until-stopped", help="Go on, at a constant learning rate, until Ctrl-C.")
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
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", rich_help_panel=TRAINING)]

TRAINING_GROUP = OptionGroup(
    "training",
    {
        "seconds": SecondsOption,
        "epochs": EpochsOption,
        "steps": StepsOption,
        "until_stopped": UntilStoppedOption,
        "device": DeviceOption,
        "patch_size": PatchSizeOption,
        "batch_size": BatchSizeOption,
        "steps_per_epoch": Annotated[
            int | None,
            typer.Option(
                "--steps-per-epoch", metavar="N", help="Steps between two validations.", rich_help_panel=TRAINING
            ),
        ],
        "optimiser": Annotated[Literal["adamw", "sgd"], typer.Option("--optimiser", rich_help_panel=TRAINING)],
        "learning_rate": number(TRAINING, "--learning-rate", "The highest one; try 0.01 with SGD."),
        "encoder_rate": number(
            TRAINING, "--encoder-rate", "Factor on the learning rate of the contracting path; 0 freezes it."
        ),
        "freeze_norm": Annotated[
            bool,
            typer.Option("--freeze-norm", help="Keep the statistics of batch norm.", rich_help_panel=TRAINING),
        ],
        "weight_decay": number(TRAINING, "--weight-decay"),
        "average_decay": number(TRAINING, "--average-decay", "Of the moving average of the weights; 0 = none."),
        "gradient_limit": number(TRAINING, "--gradient-limit", "Gradients are scaled down to this norm."),
        "validation_fraction": number(TRAINING, "--validation-fraction", "Share of the image groups held out."),
        "patience": Annotated[
            int | None,
            typer.Option(
                "--patience",
                metavar="N",
                help="Stop after so many epochs without improvement.",
                rich_help_panel=TRAINING,
            ),
        ],
        "seed": SeedOption,
        "precision": Annotated[
            Literal["auto", "fp32", "bf16", "fp16"], typer.Option("--precision", rich_help_panel=TRAINING)
        ],
        "loss": Annotated[
            Literal["dice_cross_entropy", "cross_entropy", "dice", "bce_dice"],
            typer.Option("--loss", help="bce_dice is that of UNet++.", rich_help_panel=LOSS),
        ],
        "class_weights": Annotated[
            Any,
            typer.Option(
                "--class-weights",
                metavar="none|balanced|X,X...",
                parser=parse_class_weights,
                help="How much each class counts in the cross entropy.",
                rich_help_panel=LOSS,
            ),
        ],
        "deep_supervision": Annotated[
            Literal["equal", "ramp", "compounding"],
            typer.Option(
                "--deep-supervision",
                help="How much the shallower heads count; one that decays away cannot be pruned to.",
                rich_help_panel=LOSS,
            ),
        ],
        "checkpoint_seconds": number(LIVE, "--checkpoint-seconds", "Write a checkpoint at least so often."),
    },
    defaults_of(TrainingOptions, without=("augmentation", "targets")),
)

TARGETS_GROUP = OptionGroup(
    "targets",
    {
        "weighting": Annotated[
            Literal["auto", "none", "contacts", "border"],
            typer.Option(
                "--weighting",
                help="Pixels that count more: between touching objects, or near borders as in the U-Net paper.",
                rich_help_panel=LOSS,
            ),
        ],
        "border_weight": number(LOSS, "--border-weight", "The U-Net paper's w0."),
        "border_sigma": number(LOSS, "--border-sigma", "The U-Net paper's sigma."),
        "border_unit": Annotated[
            Literal["px", "um"], typer.Option("--border-unit", help="Unit of the sigma.", rich_help_panel=LOSS)
        ],
        "cell_class": Annotated[
            int | None,
            typer.Option(
                "--cell-class",
                metavar="N",
                help="Class whose parts are the cells that borders lie between; all but background by default.",
                rich_help_panel=LOSS,
            ),
        ],
    },
    defaults_of(TargetOptions),
)

AUGMENTATION_GROUP = OptionGroup(
    "augmentation",
    {
        "flips": Annotated[bool, typer.Option("--flips/--no-flips", rich_help_panel=AUGMENTATION)],
        "right_angles": Annotated[bool, typer.Option("--right-angles/--no-right-angles", rich_help_panel=AUGMENTATION)],
        "rotation": number(AUGMENTATION, "--rotation", "By any angle up to so many degrees."),
        "scaling": number(AUGMENTATION, "--scaling", "By up to this factor; 1 = never."),
        "elastic": number(AUGMENTATION, "--elastic", "Deformation; 0 = none, 1 = as in the papers."),
        "intensity": number(AUGMENTATION, "--intensity", "Gain, gamma, noise, blur; 0 = none, 1 = usual."),
        "colour": number(AUGMENTATION, "--colour", "Of colour images; 0 = none, 1 = usual."),
    },
    defaults_of(AugmentationOptions),
)

CARD_GROUP = OptionGroup(
    "card",
    {
        "description": Annotated[str, typer.Option("--description", help="One line.", rich_help_panel=CARD)],
        "licence": Annotated[str, typer.Option("--licence", help="SPDX identifier.", rich_help_panel=CARD)],
        "training_data": Annotated[
            list[str] | None,
            typer.Option("--source", help="Where the images are from; may be repeated.", rich_help_panel=CARD),
        ],
        "citation": Annotated[str, typer.Option("--citation", help="What to cite.", rich_help_panel=CARD)],
        "notes": Annotated[str, typer.Option("--notes", help="Anything else worth knowing.", rich_help_panel=CARD)],
    },
    {"description": "", "licence": "", "training_data": None, "citation": "", "notes": ""},
)
