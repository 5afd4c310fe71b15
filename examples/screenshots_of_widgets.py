"""Make screenshots of every dock widget, in small and large windows and in both themes, to look for what does not fit.

Run it where windows can be opened; without a display: ``xvfb-run -s "-screen 0 1920x1200x24" python
examples/screenshots_of_widgets.py --out DIR``. It segments a sample, corrects a box of it and fine-tunes for some
seconds, through the widgets, in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
from make_screenshots import segment, wait_until
from qtpy.QtWidgets import QDockWidget

from napari_seamless.images.write import write_array
from napari_seamless.viewer.correct.workspaces import workspaces_of

SIZES = ((1280, 800), (1920, 1080))
THEMES = ("dark", "light")
BOXES = ((20, 20), (140, 140))
SIDE = 100


def main() -> None:
    """Go through the loop once, then look at each widget in each window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the images")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long to fine-tune")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_SEAMLESS_MODELS"] = str(Path(folder) / "models")
        viewer = napari.Viewer()
        viewer.window.resize(*SIZES[0])
        open_sample(viewer, Path(folder))
        segment(viewer, "nuclei-2d")
        shoot(viewer, "Segment", arguments.out / "segment")
        correct = start_correcting(viewer)
        shoot(viewer, "Correct", arguments.out / "correct")
        finetune = dock(viewer, "Fine-tune")
        wait_until(finetune.panel.start_button.isEnabled)
        shoot(viewer, "Fine-tune", arguments.out / "finetune")
        train(finetune, arguments.seconds)
        shoot(viewer, "Fine-tune", arguments.out / "compare")
        models = dock(viewer, "Models")
        wait_until(lambda: models.row is not None)
        shoot(viewer, "Models", arguments.out / "models")
        finetune.result.discard_button.click()
        wait_until(lambda: finetune.pages.current == 0 and not correct.correction.busy)
        viewer.close()


def open_sample(viewer: napari.Viewer, folder: Path) -> None:
    """Open a sample as a file with a long name, as files have them."""
    viewer.open_sample("napari-seamless", "nuclei_stack")
    pixels = np.asarray(viewer.layers[0].data)[:3]
    viewer.layers.clear()
    path = folder / "2026-11-22 experiment 7, well B3, nuclei, deconvolved.ome.tif"
    write_array(path, pixels, "ZYX", voxel_size_um=(1.0, 0.5, 0.5))
    viewer.open(path, plugin="napari-seamless")


def dock(viewer: napari.Viewer, name: str) -> Any:
    """Return a dock widget, beside the others."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", name, tabify=True)
    return widget


def start_correcting(viewer: napari.Viewer) -> Any:
    """Begin to correct the labels, verify two boxes, and ask where to go next."""
    correct = dock(viewer, "Correct")
    correct.setup.start_button.click()
    wait_until(lambda: bool(workspaces_of(viewer).corrections) and not workspaces_of(viewer).corrections[0].busy)
    (correction,) = workspaces_of(viewer).corrections
    for index, (top, left) in enumerate(BOXES):
        box = {"Z": (1, 2), "Y": (top, top + SIDE), "X": (left, left + SIDE)}
        correction.workspace.record_edit({"Z": (1, 2), "Y": (top, top + 9), "X": (left, left + 9)}, 9000 + index)
        correction.workspace.verify_region(box)
    row = correct.panel.next_place
    wait_until(row.map_button.isEnabled)
    row.map_button.click()
    wait_until(lambda: row.job is None)
    row.next_button.click()
    wait_until(lambda: not row.finder.is_searching)
    correct.panel.overlay.click()
    return correct


def train(finetune: Any, seconds: float) -> None:
    """Fine-tune for some seconds and wait for the comparison."""
    budget = finetune.form.budget_box
    budget.addItem(f"{seconds:g} seconds", seconds)
    budget.setCurrentIndex(budget.count() - 1)
    finetune.panel.start_button.click()
    wait_until(lambda: not finetune.control.is_running)
    wait_until(lambda: bool(finetune.result.name.text()) and "…" not in finetune.view.state)


def shoot(viewer: napari.Viewer, name: str, path: Path) -> None:
    """Save what is on the screen with one widget in front, in each window."""
    window = viewer.window.main_menu.window()
    found = [each for each in window.findChildren(QDockWidget) if each.windowTitle().startswith(name)]
    for theme in THEMES:
        for width, height in SIZES:
            viewer.theme = theme
            viewer.window.resize(width, height)
            found[-1].raise_()
            viewer.reset_view(margin=0.02)
            settled = time.monotonic() + 0.7
            wait_until(lambda settled=settled: time.monotonic() > settled)
            target = path.with_name(f"{path.name}-{theme}-{width}x{height}.png")
            viewer.screenshot(str(target), canvas_only=False, flash=False)


if __name__ == "__main__":
    main()
