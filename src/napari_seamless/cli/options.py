"""Options that several commands share, and how their text becomes a value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def parse_level(text: str) -> str | int:
    """Turn the text of ``--level`` into "auto", "accurate" or a number."""
    return _word_or_number(text, ("auto", "accurate"), "a level such as 3")


def parse_tile_size(text: str) -> str | int:
    """Turn the text of ``--tile-size`` into "auto" or a number of pixels."""
    return _word_or_number(text, ("auto",), "a number of pixels such as 512")


def parse_halo(text: str) -> str | int:
    """Turn the text of ``--halo`` into "exact" or a number of pixels."""
    return _word_or_number(text, ("exact",), "a number of pixels such as 32")


def parse_channel(text: str) -> str | int | tuple[int, ...]:
    """Turn the text of ``--channel`` into a number, several numbers (``0,2``) or a channel's name."""
    if not all(part.isascii() and part.isdecimal() for part in text.split(",")):
        return text
    numbers = parse_numbers(text)
    return numbers[0] if len(numbers) == 1 else numbers


def parse_numbers(text: str) -> tuple[int, ...]:
    """Turn text such as ``16,32,64`` into whole numbers."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise typer.BadParameter(f"{text!r} is not a list of whole numbers such as 16,32,64")
    return tuple(map(int, parts))


def _word_or_number(text: str, words: tuple[str, ...], example: str) -> str | int:
    if text in words:
        return text
    if text.isascii() and text.isdecimal():
        return int(text)
    raise typer.BadParameter(f"{text!r} is neither {' nor '.join(map(repr, words))} nor {example}")


def _default_model() -> str:
    from napari_seamless.models.library import default_model

    return default_model()


ImageArgument = Annotated[Path, typer.Argument(metavar="IMAGE", help="TIFF, OME-TIFF, OME-Zarr, PNG, a folder...")]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        default_factory=_default_model,
        show_default=False,
        help="A model's name or path; by default the one that 'models default' says.",
    ),
]
AxesOption = Annotated[
    str | None, typer.Option("--axes", metavar="AXES", help="The image's axes, if the file does not say: ZYX, CYX...")
]
ChannelOption = Annotated[
    Any,
    typer.Option(
        "--channel", metavar="N", parser=parse_channel, help="The channel to segment: its number, from 0, or its name."
    ),
]
# typer asks for one plain type and no union; what these three are, their parsers say.
LevelOption = Annotated[
    Any,
    typer.Option(
        "--level",
        metavar="auto|accurate|N",
        parser=parse_level,
        help="UNet++: a lower level is faster; 'auto' takes the lowest that is as good as the best (see models info), "
        "'accurate' averages all heads.",
    ),
]
TileSizeOption = Annotated[
    Any,
    typer.Option("--tile-size", metavar="auto|N", parser=parse_tile_size, help="Pixels a side that a tile writes."),
]
HaloOption = Annotated[
    Any,
    typer.Option(
        "--halo", metavar="exact|N", parser=parse_halo, help="Context around a tile. Less than exact leaves seams."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where the network runs.")]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help="Numbers that the network computes with.")]
EventsOption = Annotated[
    str | None,
    typer.Option("--events", metavar="FILE|-", help="Write what happens as JSON lines; - writes to stdout."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace output that exists already.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
