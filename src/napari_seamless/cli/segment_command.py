"""``napari-seamless segment``: an image file in, a labels file out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_seamless.cli.events import Reporter, reporting
from napari_seamless.cli.interrupt import stop_on_signal
from napari_seamless.cli.options import (
    AxesOption,
    ChannelOption,
    DeviceOption,
    EventsOption,
    HaloOption,
    ImageArgument,
    LevelOption,
    ModelOption,
    OverwriteOption,
    PrecisionOption,
    TileSizeOption,
)
from napari_seamless.cli.units import counted, seconds_text, sizes_text
from napari_seamless.events import ShouldStop


def segment(
    image: ImageArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Labels: .ome.zarr, .zarr, .ome.tif or .tif.")],
    model: ModelOption,
    axes: AxesOption = None,
    channel: ChannelOption = None,
    level: LevelOption = "auto",
    tile_size: TileSizeOption = "auto",
    halo: HaloOption = "exact",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    probabilities: Annotated[
        Path | None, typer.Option("--probabilities", metavar="P", help="Also write the class probabilities here.")
    ] = None,
    uncertainty: Annotated[
        Path | None, typer.Option("--uncertainty", metavar="U", help="Also write the uncertainty here.")
    ] = None,
    overwrite: OverwriteOption = False,
    events: EventsOption = None,
) -> None:
    """Segment an image of any size and write its labels."""
    with reporting(events) as reporter, stop_on_signal() as should_stop:
        run_segmentation(
            reporter,
            should_stop,
            image,
            out,
            model,
            axes=axes,
            channel=channel,
            level=level,
            tile_size=tile_size,
            halo=halo,
            device=device,
            precision=precision,
            probabilities=probabilities,
            uncertainty=uncertainty,
            overwrite=overwrite,
        )


def run_segmentation(
    reporter: Reporter,
    should_stop: ShouldStop,
    image: Path,
    out: Path,
    model: str,
    *,
    axes: str | None = None,
    **options: Any,
) -> None:
    """Segment the file `image` into the file `out` and say what was done; `demo` comes through here too."""
    from napari_seamless.cli.seam_error import seam_error
    from napari_seamless.images.read import open_image
    from napari_seamless.images.write import check_output
    from napari_seamless.inference.run import segment as segment_image
    from napari_seamless.models.library import load_model

    check_output(out, options.get("overwrite", False))
    opened, loaded = open_image(image, axes=axes), load_model(model)
    segment_image(
        opened,
        loaded,
        output=out,
        on_event=reporter.on_event,
        should_stop=should_stop,
        **options,
    )
    if not reporter.facts["plan"]["exact"]:
        difference, shape = seam_error(opened, loaded, reporter.facts["plan"], options.get("channel"))
        reporter.say(
            f"seam error: with this halo class probabilities differ by up to {difference:.2g} from those with the "
            f"exact one (measured on {sizes_text(shape)} pixels)"
        )
    reporter.say(_summary(reporter.facts["done"], reporter.facts["plan"]))
    for name in ("probabilities", "uncertainty"):
        if options.get(name) is not None:
            reporter.say(f"{name}: {options[name]}")
    reporter.say(f"labels: {out}")


def _summary(done: dict[str, Any], plan: dict[str, Any]) -> str:
    objects = done.get("n_objects")
    found = "segmented" if objects is None else counted(objects, "object")
    return f"{found} in {seconds_text(done['seconds'])} ({counted(plan['n_tiles'], 'tile')} on {plan['device']})"
