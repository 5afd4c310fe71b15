"""Peak memory against the plan's prediction: one run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
from cases import CASES, Case, image_for
from ours import pieces_text


def measure_memory(case: Case, size: int, tile_size: int | str, precision: str) -> dict[str, float]:
    """Return predicted and measured peak, in bytes added by the run; tiles of `tile_size`, or what ``"auto"`` takes."""
    arguments = [case.name, str(size), str(tile_size), precision]
    ran = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def _one(case: Case, size: int, tile_size: int | str, precision: str) -> dict[str, object]:
    import resource

    import psutil

    import napari_seamless as ns
    from napari_seamless.inference.allocator import warm_memory
    from napari_seamless.inference.prepared import forget_prepared

    model = case.model()
    options = {"axes": case.axes, "level": case.level, "device": "cpu", "precision": precision}
    smallest = 2**case.level
    # Loads everything that a run imports: not the run's own memory.
    ns.segment(np.zeros((smallest,) * case.spatial_dims), model, tile_size=smallest, **options)
    image = image_for(case, size)
    plan = ns.plan_segmentation(image, model, calibrate=False, tile_size=tile_size, **options)
    with warm_memory():  # leaving it gives what is free back to the system
        forget_prepared()  # the plan counts the weights that a first run prepares
    before = psutil.Process().memory_info().rss
    with warm_memory():
        ns.segment(image, model, tile_size=tile_size, **options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "case": case.name,
        "precision": precision,
        "pieces": pieces_text(plan),
        "predicted": plan.peak_bytes,
        "measured": peak - before,
    }


if __name__ == "__main__":
    name, size, tile_size, precision = sys.argv[1:]
    chosen = next(case for case in CASES if case.name == name)
    print(json.dumps(_one(chosen, int(size), tile_size if tile_size == "auto" else int(tile_size), precision)))
