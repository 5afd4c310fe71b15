"""Speed (megapixels a second of CPU time) and memory of joining objects by blocks, against the whole array at once.

python benchmarks/stitch_speed.py [--side 8192] [--block 1024]
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import zarr
from scipy import ndimage

from napari_seamless.objects.instances import InstanceRule, instances_from_states
from napari_seamless.objects.stitch import stitch_instances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--block", type=int, default=1024)
    options = parser.parse_args()
    states = nuclei_states(options.side)
    rule = InstanceRule()
    chunks, shape = (options.block,) * 2, states.shape
    stored = zarr.create_array({}, shape=shape, chunks=chunks, dtype="uint8")
    stored[:] = states
    out = zarr.create_array({}, shape=shape, chunks=chunks, dtype="uint32")
    began = time.process_time()
    n_objects = stitch_instances(stored, out, rule, block_shape=chunks)
    stitched = time.process_time() - began
    began = time.process_time()
    whole = instances_from_states(states, rule)
    at_once = time.process_time() - began
    megapixels = states.size / 1e6
    print(f"{options.side}² pixels, {n_objects} objects; identical: {bool(np.array_equal(out[:], whole))}")
    print(f"block by block ({options.block}², zarr in and out): {megapixels / stitched:.1f} Mpx/s")
    print(f"at once (numpy): {megapixels / at_once:.1f} Mpx/s")
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def nuclei_states(side: int) -> np.ndarray:
    """Return states with about one object for each 1000 pixels, a third of them touching another."""
    random = np.random.default_rng(0)
    tile = min(side, 2048)
    seeds = np.zeros((tile, tile), np.bool_)
    seeds[tuple(random.integers(0, tile, (2, tile * tile // 1000)))] = True
    distance = ndimage.distance_transform_edt(~seeds)
    states = (distance < 11).astype(np.uint8) + (distance < 8)
    repeats = -(-side // tile)
    return np.tile(states, (repeats, repeats))[:side, :side]


if __name__ == "__main__":
    main()
