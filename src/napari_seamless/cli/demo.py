"""``napari-seamless demo``: the main job on an image that scikit-image brings along, so nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_seamless.cli.events import Reporter, reporting
from napari_seamless.cli.interrupt import stop_on_signal
from napari_seamless.errors import FileWriteError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEMO_MODEL = "nuclei-2d"
"""Whatever the user's default is."""

OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder for the results.")]


def demo(out: OutOption = Path("segmentation_demo")) -> None:
    """Segment the nuclei of a stained tissue and write labels and a picture of them.

    Brown antibody staining lies over the blue of the nuclei, so the blue stain is separated first, as is usual for such
    tissue.
    """
    with reporting(None) as reporter, stop_on_signal() as should_stop:
        from skimage.data import immunohistochemistry

        from napari_seamless.cli.overlay import side_by_side, write_png
        from napari_seamless.cli.segment_command import run_segmentation
        from napari_seamless.images.read import open_image
        from napari_seamless.images.write import write_array

        _make_folder(out)
        stain, labels, overlay = out / "nuclear_stain.ome.tif", out / "labels.ome.tif", out / "overlay.png"
        pixels = immunohistochemistry()
        write_png(out / "tissue.png", pixels)
        write_array(stain, _nuclear_stain(pixels), "YX", overwrite=True)
        run_segmentation(reporter, should_stop, stain, labels, DEMO_MODEL, overwrite=True)
        write_png(overlay, side_by_side(pixels, open_image(labels).data.compute()))
        _say_what_next(reporter, stain, overlay, out)


def _nuclear_stain(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the amount of haematoxylin, which dyes nuclei, in RGB pixels (Ruifrok & Johnston 2001)."""
    from skimage.color import rgb2hed

    amount: NDArray[np.float32] = rgb2hed(pixels)[..., 0].clip(min=0).astype("float32")
    return amount


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileWriteError(f"{folder} cannot be made ({error.strerror}): choose another folder with --out") from error


def _say_what_next(reporter: Reporter, image: Path, overlay: Path, out: Path) -> None:
    reporter.say(f"picture: {overlay}")
    reporter.say("")
    reporter.say("Next, try the same on an image of your own, or look at the result in napari:")
    reporter.say(f"  napari-seamless segment {image} {out / 'again.ome.zarr'} --model {DEMO_MODEL}")
    reporter.say(f"  napari {out / 'tissue.png'} {out / 'labels.ome.tif'}")
