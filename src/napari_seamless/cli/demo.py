"""``napari-seamless demo``: the main job on an image that scikit-image brings along, so nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_seamless.cli.events import Reporter, reporting
from napari_seamless.cli.interrupt import stop_on_signal
from napari_seamless.cli.options import DEFAULT_MODEL
from napari_seamless.errors import FileWriteError

OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder for the results.")]


def demo(out: OutOption = Path("segmentation_demo")) -> None:
    """Segment the nuclei of a stained tissue and write labels and a picture of them."""
    with reporting(None) as reporter, stop_on_signal() as should_stop:
        from skimage.data import immunohistochemistry

        from napari_seamless.cli.overlay import side_by_side, write_png
        from napari_seamless.cli.segment_command import run_segmentation
        from napari_seamless.images.read import open_image

        _make_folder(out)
        image, labels, overlay = out / "tissue.png", out / "labels.ome.tif", out / "overlay.png"
        pixels = immunohistochemistry()
        write_png(image, pixels)
        run_segmentation(reporter, should_stop, image, labels, DEFAULT_MODEL, overwrite=True)
        write_png(overlay, side_by_side(pixels, open_image(labels).data.compute()))
        _say_what_next(reporter, image, overlay, out)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileWriteError(f"{folder} cannot be made ({error.strerror}): choose another folder with --out") from error


def _say_what_next(reporter: Reporter, image: Path, overlay: Path, out: Path) -> None:
    reporter.say(f"picture: {overlay}")
    reporter.say("")
    reporter.say("Next, try the same on an image of your own, or look at the result in napari:")
    reporter.say(f"  napari-seamless segment {image} {out / 'again.ome.zarr'} --model {DEFAULT_MODEL}")
    reporter.say(f"  napari {image} {out / 'labels.ome.tif'}")
