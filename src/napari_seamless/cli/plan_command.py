"""``napari-seamless plan``: what a segmentation would do and need, without doing it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_seamless.cli.events import plain
from napari_seamless.cli.options import (
    AxesOption,
    ChannelOption,
    DeviceOption,
    HaloOption,
    ImageArgument,
    JsonOption,
    LevelOption,
    ModelOption,
    PrecisionOption,
    TileSizeOption,
)
from napari_seamless.cli.units import bytes_text, seconds_text, sizes_text

if TYPE_CHECKING:
    from napari_seamless.images.image import Image


def plan(
    image: ImageArgument,
    model: ModelOption,
    axes: AxesOption = None,
    channel: ChannelOption = None,
    level: LevelOption = "auto",
    tile_size: TileSizeOption = "auto",
    halo: HaloOption = "exact",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say how many tiles, how much memory and how much time a segmentation needs."""
    from napari_seamless.images.read import open_image
    from napari_seamless.inference.plan import plan_segmentation
    from napari_seamless.models.library import load_model

    opened = open_image(image, axes=axes)
    result = plan_segmentation(
        opened,
        load_model(model),
        channel=channel,
        level=level,
        tile_size=tile_size,
        halo=halo,
        device=device,
        precision=precision,
    )
    facts = plain(result.as_dict())
    print(json.dumps(facts, indent=2)) if as_json else _print_table(opened, model, facts)


def _print_table(image: Image, model: str, facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    axes = ", ".join(f"{axis} {size}" for axis, size in image.sizes.items())
    table = Table(show_header=False, title=f"Segmenting {image.path} with {model}", title_justify="left")
    for name, text in (
        ("image", f"{axes} ({image.dtype}, {bytes_text(image.nbytes)})"),
        ("planes or volumes", str(facts["n_planes"])),
        ("tiles", f"{facts['n_tiles']} of {sizes_text(facts['tile_size'])}"),
        ("halo around a tile", sizes_text(facts["halo"])),
        ("level", str(facts["level"])),
        ("device", f"{facts['device']}, {facts['precision']}"),
        ("peak memory", f"about {bytes_text(facts['peak_bytes'])}"),
        ("time", f"about {seconds_text(facts['seconds'])}"),
    ):
        table.add_row(name, text)
    Console().print(table)
