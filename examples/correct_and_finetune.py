"""Segment, correct three boxes, fine-tune, adopt, segment again: what a person does in napari, done by a script.

    python examples/correct_and_finetune.py --data FOLDER --out DIR [--seconds 60]

FOLDER holds ``images/`` and ``labels/`` of the same names, 2D and of one size. Their first fields become one series
``DIR/fields.ome.tif``, of which the first three are corrected, each in one box, by painting what ``labels/`` says; the
others stay untouched. Everything is done with the dock widgets. Screenshots of each step go to DIR. The last line
printed is JSON: the mean IoU of the foreground in the untouched fields before and after, whether every verified pixel
is still what was painted, and how long it took. The adopted model goes into the library ``DIR/library``, unless the
environment variable NAPARI_SEAMLESS_MODELS names another one. Without a display: ``xvfb-run -s "-screen 0
1280x800x24" python ...``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

import napari_seamless as ns
from napari_seamless.images.write import write_array
from napari_seamless.models.library import LIBRARY_VARIABLE
from napari_seamless.viewer.correct.workspaces import workspaces_of

SIDE = 256
N_CORRECTED = 3
LEAST_OBJECTS = 3
TIMEOUT_S = 1800.0


def main() -> None:
    """Run the session and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--side", type=int, default=SIDE, help="pixels a side of a corrected box")
    parser.add_argument("--model", default="nuclei-2d")
    parser.add_argument("--seed", type=int, default=0, help="where the boxes are")
    options = parser.parse_args()
    os.environ.setdefault(LIBRARY_VARIABLE, str(options.out / "library"))  # not the user's own
    print(json.dumps(Session(options).run()))


class Session:
    """One napari window and what is done in it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        options.out.mkdir(parents=True, exist_ok=True)
        self.truth = stack_fields(options.data, options.fields, options.out / "fields.ome.tif")
        self.random = np.random.default_rng(options.seed)
        self.painted: list[tuple[tuple[int, slice, slice], np.ndarray]] = []
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1280, 800)

    def run(self) -> dict[str, Any]:
        """Do all steps; return what is printed."""
        began = time.perf_counter()
        self.viewer.open(str(self.options.out / "fields.ome.tif"), plugin="napari-seamless")
        self.shoot("1-opened")
        self.segment()
        self.shoot("2-segmented")
        self.start_correcting()
        before = self.iou_of_untouched()
        for field in range(N_CORRECTED):
            self.correct(field)
        self.shoot("3-corrected")
        self.finetune()
        self.shoot("5-compared")
        self.adopt_and_segment_again()
        self.shoot("6-segmented-again")
        result = {
            "iou_before": round(before, 4),
            "iou_after": round(self.iou_of_untouched(), 4),
            "verified_unchanged": self.verified_is_what_was_painted(),
            "seconds": round(time.perf_counter() - began, 1),
        }
        self.viewer.close()
        return result

    def segment(self) -> None:
        """Choose the model in the Segment widget and press its button."""
        _, widget = self.viewer.window.add_plugin_dock_widget("napari-seamless", "Segment")
        wait_until(lambda: widget.models.model is not None)
        box = widget.models.model_box
        if box.findText(self.options.model) >= 0:
            box.setCurrentIndex(box.findText(self.options.model))
        else:
            widget.models.add_model(self.options.model)
        wait_until(lambda: "tile" in widget.panel.estimate.text())
        widget.scope.buttons["whole"].setChecked(True)
        widget.panel.start_button.click()
        wait_until(lambda: not widget.run.is_running)

    def start_correcting(self) -> None:
        """Press "Start correcting" for the labels that Segment made."""
        _, self.correct_widget = self.viewer.window.add_plugin_dock_widget("napari-seamless", "Correct", tabify=True)
        labels = next(layer for layer in self.viewer.layers if isinstance(layer, napari.layers.Labels))
        self.viewer.layers.selection.active = labels
        wait_until(lambda: self.correct_widget.setup.labels_box.currentIndex() >= 0)
        self.correct_widget.setup.start_button.click()
        wait_until(lambda: bool(workspaces_of(self.viewer).corrections))
        (self.correction,) = workspaces_of(self.viewer).corrections
        wait_until(lambda: not self.correction.busy)

    def correct(self, field: int) -> None:
        """Paint one box as the truth says, draw a rectangle around it, and press "This box is right"."""
        self.viewer.dims.set_point(0, field)
        top, left = self.place(field)
        rows, columns = slice(top, top + self.options.side), slice(left, left + self.options.side)
        truth = self.truth[field, rows, columns].astype(np.int64)
        truth[truth > 0] += self.correction.workspace.next_id
        grid = np.meshgrid(np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop), indexing="ij")
        frames = np.full(truth.size, field)
        self.correction.labels_layer.data_setitem((frames, grid[0].ravel(), grid[1].ravel()), truth.ravel())
        self.painted.append(((field, rows, columns), truth))
        corners = [(rows.start, columns.start), (rows.start, columns.stop), (rows.stop, columns.stop)]
        corners.append((rows.stop, columns.start))
        place = np.array([(field, row - 0.5, column - 0.5) for row, column in corners])
        shapes = self.viewer.add_shapes(
            [place], name="box", face_color="transparent", edge_color="cyan", scale=self.correction.image_layer.scale
        )
        shapes.selected_data = {0}
        panel = self.correct_widget.panel
        wait_until(panel.box_button.isEnabled)
        panel.box_button.click()
        wait_until(lambda: self.is_marked(field) and not self.correction.busy)
        self.viewer.layers.remove(shapes)

    def is_marked(self, field: int) -> bool:
        """Whether a box in the field is verified."""
        regions = self.correction.workspace.regions
        return any(region.kind == "box" and region.box[0] == (field, field + 1) for region in regions)

    def place(self, field: int) -> tuple[int, int]:
        """Return the corner of a box that holds some objects."""
        side = self.options.side
        for _ in range(200):
            corner = tuple(int(self.random.integers(0, length - side + 1)) for length in self.truth.shape[1:])
            inside = self.truth[field, corner[0] : corner[0] + side, corner[1] : corner[1] + side]
            if len(np.unique(inside)) > LEAST_OBJECTS:
                break
        return corner

    def finetune(self) -> None:
        """Choose the time in the Fine-tune widget, press its button, and wait for the comparison."""
        _, self.finetune_widget = self.viewer.window.add_plugin_dock_widget("napari-seamless", "Fine-tune", tabify=True)
        widget = self.finetune_widget
        wait_until(widget.panel.start_button.isEnabled)
        budget = widget.form.budget_box
        budget.addItem(f"{self.options.seconds:g} seconds", self.options.seconds)
        budget.setCurrentIndex(budget.count() - 1)
        widget.panel.start_button.click()
        halfway = time.monotonic() + self.options.seconds / 2
        wait_until(lambda: not widget.control.is_running or time.monotonic() > halfway)
        self.shoot("4-training")
        wait_until(lambda: not widget.control.is_running)
        if widget.pages.current != 1:
            raise RuntimeError(f"there is no model to adopt: {widget.panel.status.text()}")
        wait_until(lambda: bool(widget.result.name.text()) and (widget.view.is_shown or "…" not in widget.view.state))

    def adopt_and_segment_again(self) -> None:
        """Press "Adopt" (whatever the verdict: this is a measurement), then "Segment again"."""
        result = self.finetune_widget.result
        name = result.name.text()
        result.anyway.setChecked(True)
        result.adopt_button.click()
        wait_until(result.again_button.isVisible)
        result.again_button.click()
        _, segment = self.viewer.window.add_plugin_dock_widget("napari-seamless", "Segment", tabify=True)
        # A small run may be over before anybody looks.
        wait_until(lambda: self.correction.model_name == name or segment.panel.status.text().startswith("Failed"))
        wait_until(lambda: not segment.run.is_running and not self.correction.busy)

    def iou_of_untouched(self) -> float:
        """Return the mean IoU of the foreground over the fields that nobody corrected."""
        labels = np.asarray(self.correction.workspace.labels)
        fields = range(N_CORRECTED, len(self.truth))
        return float(np.mean([ns.evaluate(labels[index], self.truth[index])["iou"] for index in fields]))

    def verified_is_what_was_painted(self) -> bool:
        """Whether no program changed what a person verified."""
        labels, verified = (np.asarray(array) for array in (self.correction.workspace.labels, self.verified))
        return all(
            bool((verified[place] != 0).all()) and np.array_equal(labels[place], painted)
            for place, painted in self.painted
        )

    @property
    def verified(self) -> Any:
        """Which pixels are verified."""
        return self.correction.workspace.verified

    def shoot(self, name: str) -> None:
        """Save what is on the screen."""
        settled = time.monotonic() + 0.7
        wait_until(lambda: time.monotonic() > settled)
        self.viewer.screenshot(str(self.options.out / f"{name}.png"), canvas_only=False, flash=False)


def stack_fields(data: Path, count: int, out: Path) -> np.ndarray:
    """Write the first fields of a data set as one series; return their labels, (T, Y, X)."""
    images = sorted((data / "images").iterdir())[:count]
    labels = [next((data / "labels").glob(f"{image.name.split('.')[0]}.*")) for image in images]
    if len(images) <= N_CORRECTED:
        raise SystemExit(f"{data} holds {len(images)} images; this needs more than {N_CORRECTED}")
    pixels = [np.asarray(ns.open_image(image).data) for image in images]
    write_array(out, np.stack(pixels), "TYX", overwrite=True)
    return np.stack([np.asarray(ns.open_image(label).data).squeeze() for label in labels])


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
