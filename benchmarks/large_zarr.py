"""Open a zarr of 20 GB in napari and segment what the window shows: seconds and memory.

The zarr is sparse: a few planes around its middle are written, the others read as zeros, so it takes little disk. Run
it where windows can be opened; without a display: ``xvfb-run -s "-screen 0 1920x1200x24" python
benchmarks/large_zarr.py``. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import psutil
import zarr
from qtpy.QtWidgets import QApplication

SHAPE = (160, 11_000, 11_500)
CHUNKS = (1, 1000, 1000)
WRITTEN_PLANES = 10
TIMEOUT_S = 900.0


class PeakMemory:
    """Watches this process's resident memory from a thread."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self.start = self.peak = self._process.memory_info().rss
        threading.Thread(target=self._watch, daemon=True).start()

    def grown_gb(self) -> float:
        """Largest growth since the start, in GB."""
        self._stop.set()
        return (self.peak - self.start) / 1e9

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, self._process.memory_info().rss)


class Heartbeat:
    """Longest time between two turns of the event loop."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.longest_s = 0.0

    def beat(self) -> None:
        """Count one turn."""
        now = time.perf_counter()
        self.longest_s = max(self.longest_s, now - self._last)
        self._last = now


def make_sparse_zarr(path: Path) -> None:
    """Write the zarr's metadata, and bright discs into the planes around its middle.

    Intensities are scaled by percentiles of the whole image, so the planes are as many as it takes for the discs to
    be more than 0.2 % of it.
    """
    array = zarr.create_array(path, shape=SHAPE, chunks=CHUNKS, dtype="uint8", dimension_names=("z", "y", "x"))
    tile = np.zeros(CHUNKS[1:], np.uint8)
    rows, columns = np.ogrid[: CHUNKS[1], : CHUNKS[2]]
    for y, x in np.random.default_rng(0).integers(30, 970, (150, 2)):
        tile[(rows - y) ** 2 + (columns - x) ** 2 < 15**2] = 180
    plane = np.tile(tile, (SHAPE[1] // CHUNKS[1] + 1, SHAPE[2] // CHUNKS[2] + 1))[: SHAPE[1], : SHAPE[2]]
    middle = SHAPE[0] // 2
    for index in range(middle - WRITTEN_PLANES // 2, middle + WRITTEN_PLANES // 2):
        array[index] = plane


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nuclei-2d", help="name or path of a model")
    parser.add_argument("--screenshot", type=Path, help="also save what the window shows at the end")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.zarr"
        make_sparse_zarr(path)
        print(json.dumps(measure(path, arguments.model, arguments.screenshot)))


def measure(path: Path, model: str, screenshot: Path | None) -> dict[str, object]:
    """Open, zoom in, segment the visible field."""
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    memory = PeakMemory()
    started, processor_started = time.perf_counter(), time.process_time()
    (image,) = viewer.open(path, plugin="napari-seamless")
    QApplication.processEvents()
    seconds_to_open, processor_seconds = time.perf_counter() - started, time.process_time() - processor_started
    grown_by_opening = memory.grown_gb()
    image.contrast_limits = (0, 255)
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Segment")
    wait_until(lambda: widget.models.model is not None)
    box = widget.models.model_box
    if box.findText(model) >= 0:
        box.setCurrentIndex(box.findText(model))
    else:
        widget.models.add_model(model)
    viewer.scene.camera.zoom = 0.8
    viewer.scene.camera.center = (0, SHAPE[1] / 2, SHAPE[2] / 2)
    widget.scope.buttons["field"].click()
    wait_until(lambda: widget.panel.estimate.text().endswith("cpu."))
    estimate = widget.panel.estimate.text()
    memory, heart = PeakMemory(), Heartbeat()
    started = time.perf_counter()
    widget.panel.start_button.click()
    wait_until(lambda: not widget.run.is_running, heart.beat)
    labels = viewer.layers[-1]
    facts = {
        "image_gb": round(np.prod(SHAPE, dtype=float) / 1e9, 1),
        "seconds_to_open": round(seconds_to_open, 2),
        "processor_seconds_to_open": round(processor_seconds, 2),
        "memory_grown_by_opening_gb": round(grown_by_opening, 2),
        "estimate": estimate,
        "field": list(labels.data.shape),
        "objects": int(labels.data.max()),
        "seconds_to_segment": round(time.perf_counter() - started, 1),
        "memory_grown_by_segmenting_gb": round(memory.grown_gb(), 2),
        "longest_stall_s": round(heart.longest_s, 2),
        "outcome": widget.panel.status.text(),
    }
    if screenshot is not None:
        viewer.screenshot(str(screenshot), canvas_only=False, flash=False)
    viewer.close()
    return facts


def wait_until(is_true: Callable[[], bool], on_turn: Callable[[], None] = lambda: None) -> None:
    """Keep the window alive until something has happened."""
    deadline = time.monotonic() + TIMEOUT_S
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"this took longer than {TIMEOUT_S:.0f} s")
        QApplication.processEvents()
        on_turn()
        time.sleep(0.002)


if __name__ == "__main__":
    main()
