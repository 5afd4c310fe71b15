"""How busy the network is while files are read and written: its share of a run's time, in one table.

    python benchmarks/pipeline.py [--side 4096] [--turns 3]

A run is timed from the first tile's prediction to the written file. What is not the network is waiting for the reader,
work on results that the network had to wait for, joining objects across tiles, and writing the file in its end form.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy import ndimage

import napari_seamless as ns
from napari_seamless.images.write import write_array
from napari_seamless.inference import executor
from napari_seamless.inference.predictor import Predictor

ENDINGS = ("ome.zarr", "ome.tif")
"""Both are stored in pieces: chunks and tiles."""


@dataclass
class Clock:
    """When the network began, and the seconds in it and in joining objects."""

    began: float | None = None
    network: float = 0.0
    objects: float = 0.0

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Add the seconds inside to one of the sums."""
        began = time.perf_counter()
        if name == "network" and self.began is None:
            self.began = began
        yield
        setattr(self, name, getattr(self, name) + time.perf_counter() - began)

    def timing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is timed."""

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.of(name):
                return function(*arguments, **options)

        return timed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    cases = {
        "U-Net 32..512, classes": (unet(), "auto"),
        "nuclei-2d, auto": (ns.load_model("nuclei-2d"), "auto"),
        "nuclei-2d, L4": (ns.load_model("nuclei-2d"), 4),
    }
    print("| network | file | seconds | network busy | joining objects : network |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for ending in ENDINGS:
            source = Path(folder, f"image.{ending}")
            write_array(source, blobs(options.side), axes="YX")
            for name, (model, level) in cases.items():
                found = [measured(source, model, level, Path(folder, f"labels.{ending}")) for _ in range(options.turns)]
                seconds, busy, objects = (median(values) for values in zip(*found, strict=True))
                print(f"| {name} | {ending} | {seconds:.1f} | {busy:.0%} | {objects:.0%} |", flush=True)


def measured(source: Path, model: ns.Model, level: Any, output: Path) -> tuple[float, float, float]:
    """Return the seconds of a run, the network's share of them, and the time for objects beside the network's."""
    clock = Clock()
    plain = Predictor.__call__, executor.stitch_instances
    Predictor.__call__ = clock.timing("network", Predictor.__call__)  # type: ignore[method-assign]
    executor.stitch_instances = clock.timing("objects", executor.stitch_instances)
    try:
        ns.segment(ns.open_image(source), model, level=level, output=output, overwrite=True)
    finally:
        Predictor.__call__, executor.stitch_instances = plain  # type: ignore[method-assign]
    if clock.began is None:
        raise SystemExit("this plan ran no tile through the predictor: nothing can be said of its pipeline")
    seconds = time.perf_counter() - clock.began
    return seconds, clock.network / seconds, clock.objects / clock.network


def unet() -> ns.Model:
    """Return an untrained U-Net: arithmetic takes as long, whatever the weights."""
    config = ns.NetworkConfig(architecture="unet", features=(32, 64, 128, 256, 512), out_channels=2)
    return ns.create_model(config, classes=("background", "cell"), seed=0)


def blobs(side: int) -> np.ndarray:
    """Return bright discs on a noisy background, uint16: about as many objects as a field full of nuclei has."""
    random = np.random.default_rng(0)
    seeds = np.zeros((side, side), np.float32)
    seeds[tuple(random.integers(0, side, (2, side * side // 1600)))] = 1
    discs = ndimage.gaussian_filter(seeds, 6) > 0.0015
    soft = ndimage.gaussian_filter(discs.astype(np.float32), 1.5)
    return (soft * 2000 + random.normal(300, 40, (side, side))).clip(0).astype(np.uint16)


if __name__ == "__main__":
    main()
