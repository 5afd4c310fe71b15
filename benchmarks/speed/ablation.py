"""What each part brings: one tile, one thing changed at a time."""

from __future__ import annotations

import resource
import time
from statistics import median

import numpy as np
from cases import Case

from napari_seamless.inference.allocator import warm_memory
from napari_seamless.inference.predictor import Predictor

STEPS = (
    ("fp32, plain modules", "fp32", False, False),
    ("bf16, plain modules", "bf16", False, False),
    ("bf16, warm memory", "bf16", False, True),
    ("bf16, warm memory, fused", "bf16", True, True),
)


def measure_parts(case: Case, side: int, repeats: int) -> list[dict[str, object]]:
    """Return megapixels a second of the network's input, and page faults a pass, for each step."""
    model = case.model()
    outer = np.zeros((1, *(side,) * case.spatial_dims), np.float32)
    predictors = [
        Predictor(model, level=case.level, device="cpu", precision=precision, fused=fused)
        for _, precision, fused, _ in STEPS
    ]
    seconds: list[list[float]] = [[] for _ in STEPS]
    faults: list[list[int]] = [[] for _ in STEPS]
    for _ in range(repeats):
        for index, (_, _, _, warm) in enumerate(STEPS):
            with warm_memory(warm):
                predictors[index](outer)
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                start = time.perf_counter()
                predictors[index](outer)
                seconds[index].append(time.perf_counter() - start)
                faults[index].append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return [
        {"step": step[0], "rate": outer.size / median(times) / 1e6, "faults": int(median(found))}
        for step, times, found in zip(STEPS, seconds, faults, strict=True)
    ]


def measure_tiles(case: Case, sides: tuple[int, ...], halo: int, repeats: int) -> list[dict[str, float]]:
    """Return megapixels a second for each outer tile size: of the input, and of the inner region that counts."""
    predictor = Predictor(case.model(), level=case.level, device="cpu", precision="bf16")
    seconds: dict[int, list[float]] = {side: [] for side in sides}
    with warm_memory():
        for turn in range(repeats + 1):
            for side in sides:
                start = time.perf_counter()
                predictor(np.zeros((1, *(side,) * case.spatial_dims), np.float32))
                if turn:
                    seconds[side].append(time.perf_counter() - start)
    dims = case.spatial_dims
    return [
        {
            "outer": side,
            "inner": side - 2 * halo,
            "outer_rate": side**dims / median(times) / 1e6,
            "inner_rate": (side - 2 * halo) ** dims / median(times) / 1e6,
        }
        for side, times in seconds.items()
    ]
