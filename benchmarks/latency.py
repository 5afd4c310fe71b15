"""How long one waits: starting, and the visible field after the click, in one table.

    python benchmarks/latency.py [--side 1024] [--repeats 5] [--model nuclei-2d]
    xvfb-run -s "-screen 0 1920x1200x24" python benchmarks/latency.py --viewer

The field is segmented in a worker thread, as the viewer does it: the first time and, in the median, the times after.
With ``--viewer`` the Segment panel itself is opened in napari, and its button clicked: from the click to the labels on
the screen.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np
from scipy import ndimage

IMPORT = "import time; s = time.perf_counter(); import napari_seamless; print(time.perf_counter() - s)"


def import_seconds(repeats: int) -> float:
    """Return what importing the package takes in a fresh interpreter."""
    runs = [subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True) for _ in range(repeats)]
    return median(float(run.stdout) for run in runs)


def help_seconds(repeats: int) -> float:
    """Return what the command's help takes, from start to end."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "napari_seamless", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def field_seconds(name: str, side: int, repeats: int) -> tuple[float, float]:
    """Return what the field takes the first time, and the times after."""
    import napari_seamless as ns
    from napari_seamless.inference.allocator import warm_memory
    from napari_seamless.viewer.segment.job import LINGER_SECONDS

    model = ns.load_model(name)
    image = blobs(4 * side)

    def segment() -> float:
        start = time.perf_counter()
        with warm_memory(linger=LINGER_SECONDS):
            ns.segment(image, model, axes="YX", region={"Y": (side, 2 * side), "X": (side, 2 * side)})
        return time.perf_counter() - start

    with ThreadPoolExecutor(1) as worker:
        first, *later = [worker.submit(segment).result() for _ in range(repeats + 1)]
    return first, median(later)


def viewer_seconds(name: str, side: int, repeats: int) -> tuple[float, float, float]:
    """Return what opening the Segment panel takes, and from click to labels: the first time, and the times after."""
    import napari
    from large_zarr import wait_until
    from qtpy.QtWidgets import QApplication

    from napari_seamless.viewer.napari_versions import canvas_size

    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.add_image(blobs(4 * side))
    QApplication.processEvents()
    start = time.perf_counter()
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Segment")
    QApplication.processEvents()
    opened = time.perf_counter() - start
    wait_until(lambda: widget.models.model is not None)
    widget.models.model_box.setCurrentIndex(widget.models.model_box.findText(name))
    viewer.scene.camera.zoom = max(canvas_size(viewer)) / side
    viewer.scene.camera.center = (0, 2 * side, 2 * side)
    widget.scope.buttons["field"].click()
    wait_until(lambda: widget.panel.estimate.text().endswith("cpu."))

    def click() -> float:
        start = time.perf_counter()
        widget.panel.start_button.click()
        wait_until(lambda: not widget.run.is_running)
        return time.perf_counter() - start

    first, *later = [click() for _ in range(repeats + 1)]
    print(f"{widget.panel.estimate.text()} {widget.panel.status.text()}")
    viewer.close()
    return opened, first, median(later)


def blobs(side: int) -> np.ndarray:
    """Return bright discs on a noisy background, uint16."""
    random = np.random.default_rng(0)
    seeds = np.zeros((side, side), np.float32)
    seeds[tuple(random.integers(0, side, (2, side * side // 1600)))] = 1
    discs = ndimage.gaussian_filter(seeds, 6) > 0.0015
    return (discs * 2000 + random.normal(300, 40, (side, side))).clip(0).astype(np.uint16)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="nuclei-2d")
    parser.add_argument("--viewer", action="store_true", help="through napari; needs a display")
    options = parser.parse_args()
    first, later = field_seconds(options.model, options.side, options.repeats)
    rows: tuple[tuple[str, float, float | None], ...] = (
        ("import napari_seamless", import_seconds(options.repeats), 0.1),
        ("napari-seamless --help", help_seconds(options.repeats), 0.5),
        (f"field of {options.side}, the first time", first, None),
        (f"field of {options.side}, after that", later, 1.0),
    )
    if options.viewer:
        opened, first, later = viewer_seconds(options.model, options.side, options.repeats)
        rows += (
            ("opening the Segment panel", opened, 1.0),
            (f"click to labels of {options.side}, the first time", first, None),
            (f"click to labels of {options.side}, after that", later, 1.0),
        )
    print("| what | seconds | aim |\n|---|---|---|")
    for what, seconds, aim in rows:
        print(f"| {what} | {seconds:.2f} | {'' if aim is None else f'< {aim}'} |")


if __name__ == "__main__":
    main()
