"""Seconds, pixels a second and peak memory of a segmentation, for each pruning level and tile size on this machine.

Every row runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np

ROW = "{level:>5}  {tile_size:>9}  {tiles:>5}  {seconds:>7}  {rate:>12}  {memory:>12}"


def measure(size: int, model: str | None, level: int, tile_size: str, device: str) -> dict[str, float]:
    """Segment a made-up image of `size` x `size` pixels once, after a first small run that loads everything."""
    import napari_seamless as ns

    network = ns.load_model(model) if model else _untrained()
    pixels = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    options = {"level": level, "tile_size": tile_size if tile_size == "auto" else int(tile_size), "device": device}
    ns.segment(pixels[:64, :64], network, axes="YX", device=device, level=level)
    before = _peak_bytes()
    plan = ns.plan_segmentation(ns.Image.from_array(pixels, "YX"), network, calibrate=False, **options)
    start = time.perf_counter()
    ns.segment(pixels, network, axes="YX", **options)
    seconds = time.perf_counter() - start
    return {"tiles": plan.n_tiles, "seconds": seconds, "added_bytes": _peak_bytes() - before}


def _untrained():
    import napari_seamless as ns

    config = ns.NetworkConfig(architecture="unetpp", features=(16, 32, 64, 128, 256), out_channels=3)
    return ns.create_model(config, task="instances")


def _peak_bytes() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="pixels a side of the image")
    parser.add_argument("--model", help="a model's name or path; by default an untrained UNet++")
    parser.add_argument("--levels", default="1,2,3,4")
    parser.add_argument("--tile-sizes", default="128,256,512,auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--one", nargs=2, metavar=("LEVEL", "TILE_SIZE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Print one row for each level and tile size."""
    chosen = _arguments()
    if chosen.one:
        level, tile_size = chosen.one
        print(json.dumps(measure(chosen.size, chosen.model, int(level), tile_size, chosen.device)))
        return
    titles = ("level", "tile_size", "tiles", "seconds", "rate", "memory")
    print(
        ROW.format(
            **dict(zip(titles, ("level", "tile size", "tiles", "seconds", "Mpixel/s", "added MiB"), strict=True))
        )
    )
    for level in chosen.levels.split(","):
        for tile_size in chosen.tile_sizes.split(","):
            command = [sys.executable, __file__, *sys.argv[1:], "--one", level, tile_size]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(
                ROW.format(
                    level=level,
                    tile_size=tile_size,
                    tiles=found["tiles"],
                    seconds=f"{found['seconds']:.2f}",
                    rate=f"{chosen.size**2 / found['seconds'] / 1e6:.2f}",
                    memory=f"{found['added_bytes'] / 2**20:.0f}",
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
