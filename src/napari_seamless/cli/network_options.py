"""The options of ``napari-seamless train`` that say what is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from napari_seamless.cli.option_groups import OptionGroup, defaults_of
from napari_seamless.cli.options import parse_numbers
from napari_seamless.cli.train_options import number
from napari_seamless.networks.config import NetworkConfig

NETWORK = "Network"

_DEFAULT_FEATURES = "16,32,64,128,256"


def parse_pool_sizes(text: str) -> tuple[tuple[int, ...], ...]:
    """Turn text such as ``1x2x2,2x2x2`` into one tuple a pooling."""
    try:
        return tuple(tuple(int(factor) for factor in part.split("x")) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of factors such as 1x2x2,2x2x2") from None


def parse_names(text: str) -> tuple[str, ...]:
    """Turn text such as ``background,cell`` into names."""
    return tuple(part.strip() for part in text.split(","))


StartFromOption = Annotated[
    str | None,
    typer.Option(
        "--start-from",
        metavar="MODEL",
        help="Go on from a model's weights; its network and task stay as they are.",
        rich_help_panel=NETWORK,
    ),
]

NETWORK_GROUP = OptionGroup(
    "network",
    {
        "architecture": Annotated[Literal["unetpp", "unet"], typer.Option("--architecture", rich_help_panel=NETWORK)],
        "spatial_dims": Annotated[
            int | None,
            typer.Option(
                "--dims", min=2, max=3, help="2 treats each plane of a volume as an image.", rich_help_panel=NETWORK
            ),
        ],
        "features": Annotated[
            Any,
            typer.Option(
                "--features",
                metavar="N,N...",
                parser=parse_numbers,
                help="Channels of each level, the finest first.",
                rich_help_panel=NETWORK,
            ),
        ],
        "padding": Annotated[
            Literal["same", "valid"],
            typer.Option("--padding", help="valid: the output is smaller, as in the paper.", rich_help_panel=NETWORK),
        ],
        "upsample": Annotated[
            Literal["transposed", "nearest", "bilinear", "unpool"], typer.Option("--upsample", rich_help_panel=NETWORK)
        ],
        "norm": Annotated[Literal["batch", "none"], typer.Option("--norm", rich_help_panel=NETWORK)],
        "dropout": number(NETWORK, "--dropout", "Probability, at the deepest level."),
        "pool_sizes": Annotated[
            Any,
            typer.Option(
                "--pool-sizes",
                metavar="NxN...,...",
                parser=parse_pool_sizes,
                help="Factor of each pooling along each axis, such as 1x2x2,2x2x2; 2 everywhere by default.",
                rich_help_panel=NETWORK,
            ),
        ],
        "widening": Annotated[
            Literal["after_pooling", "before_pooling"],
            typer.Option(
                "--widening", help="Where channels double; before pooling in the 3D U-Net.", rich_help_panel=NETWORK
            ),
        ],
        "deep_supervision": Annotated[
            bool,
            typer.Option(
                " /--no-deep-supervision",
                help="UNet++ with one head: no pruning.",
                show_default=False,
                rich_help_panel=NETWORK,
            ),
        ],
        "input_kind": Annotated[
            Literal["grey", "colour", "channels"] | None,
            typer.Option(
                "--input", help="What the network is fed; by default what the images are.", rich_help_panel=NETWORK
            ),
        ],
        "classes": Annotated[
            Any,
            typer.Option(
                "--classes",
                metavar="A,B...",
                parser=parse_names,
                help="Names of semantic classes, background first; a single one is a foreground.",
                rich_help_panel=NETWORK,
            ),
        ],
    },
    {
        **defaults_of(NetworkConfig, without=("in_channels", "out_channels")),
        **{"architecture": "unetpp", "spatial_dims": None, "features": _DEFAULT_FEATURES},
        **{"input_kind": None, "classes": None},
    },
)
