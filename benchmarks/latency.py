"""How long one waits: starting, and the visible field after the click, in one table.

    python benchmarks/latency.py [--side 1024] [--repeats 5] [--model nuclei-2d]

The field is segmented in a worker thread, as the viewer does it: the first time and, in the median, the times after.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np

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
    image = np.random.default_rng(0).normal(1000, 100, (4 * side, 4 * side)).astype(np.uint16)

    def segment() -> float:
        start = time.perf_counter()
        with warm_memory(linger=LINGER_SECONDS):
            ns.segment(image, model, axes="YX", region={"Y": (side, 2 * side), "X": (side, 2 * side)})
        return time.perf_counter() - start

    with ThreadPoolExecutor(1) as worker:
        first, *later = [worker.submit(segment).result() for _ in range(repeats + 1)]
    return first, median(later)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="nuclei-2d")
    options = parser.parse_args()
    first, later = field_seconds(options.model, options.side, options.repeats)
    rows = (
        ("import napari_seamless", import_seconds(options.repeats), 0.1),
        ("napari-seamless --help", help_seconds(options.repeats), 0.5),
        (f"field of {options.side}, the first time", first, None),
        (f"field of {options.side}, after that", later, 1.0),
    )
    print("| what | seconds | aim |\n|---|---|---|")
    for what, seconds, aim in rows:
        print(f"| {what} | {seconds:.2f} | {'' if aim is None else f'< {aim}'} |")


if __name__ == "__main__":
    main()
