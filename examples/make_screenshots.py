"""Make the screenshots of the documentation: the dock widget Segment on a sample that the package makes.

Run it where windows can be opened; without a display: ``xvfb-run -s "-screen 0 1920x1200x24" python
examples/make_screenshots.py``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication

DEFAULT_FOLDER = Path(__file__).parent.parent / "docs" / "images"
TIMEOUT_S = 600.0


def main() -> None:
    """Open the sample, segment it through the widget, and save what is on the screen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="folder for the images")
    parser.add_argument("--size", default="1280x800", help="window size in pixels")
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    parser.add_argument("--sample", default="nuclei_stack", help="which sample of napari-seamless")
    parser.add_argument("--model", default="nuclei-2d", help="name or path of a model")
    parser.add_argument("--name", default="segment", help="name of the image file")
    arguments = parser.parse_args()
    width, height = (int(length) for length in arguments.size.split("x"))
    viewer = napari.Viewer()
    viewer.theme = arguments.theme
    viewer.window.resize(width, height)
    viewer.open_sample("napari-seamless", arguments.sample)
    segment(viewer, arguments.model)
    arguments.out.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(arguments.out / f"{arguments.name}.png"), canvas_only=False, flash=False)
    viewer.close()


def segment(viewer: napari.Viewer, model: str) -> None:
    """Do what a person does: open the widget, choose the model, press the button, wait."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Segment")
    wait_until(lambda: widget.models.model is not None)
    box = widget.models.model_box
    if box.findText(model) >= 0:
        box.setCurrentIndex(box.findText(model))
    else:
        widget.models.add_model(model)
    wait_until(lambda: "tile" in widget.panel.estimate.text())
    widget.panel.start_button.click()
    wait_until(lambda: not widget.run.is_running)
    viewer.layers[-1].contour = 2
    viewer.layers[-1].opacity = 1.0
    viewer.reset_view(margin=0.02)
    settled = time.monotonic() + 1.0
    wait_until(lambda: time.monotonic() > settled)


def wait_until(is_true: Callable[[], bool]) -> None:
    """Keep the window alive until something has happened."""
    deadline = time.monotonic() + TIMEOUT_S
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"this took longer than {TIMEOUT_S:.0f} s")
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
