"""What each part brings: one tile, one thing changed at a time."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from statistics import median

import numpy as np
from cases import Case

from napari_seamless.inference.allocator import warm_memory
from napari_seamless.inference.predictor import Predictor
from napari_seamless.networks.geometry import geometry


@dataclass(frozen=True)
class Step:
    """A way to run the network on one tile."""

    name: str
    precision: str
    warm: bool = False
    fused: bool = False
    cut: bool = False


STEPS = (
    Step("fp32, plain modules", "fp32"),
    Step("bf16, plain modules", "bf16"),
    Step("bf16, warm memory", "bf16", warm=True),
    Step("bf16, warm memory, fused", "bf16", warm=True, fused=True),
    Step("bf16, warm memory, fused, only what the inner region needs", "bf16", warm=True, fused=True, cut=True),
)


def measure_parts(case: Case, side: int, turns: int) -> list[dict[str, object]]:
    """Return megapixels a second of the network's input, and page faults a pass, for each step."""
    model = case.model()
    outer = np.zeros((1, *(side,) * case.spatial_dims), np.float32)
    inner = _inner(case, side, geometry(model.config, case.level).halo[0])
    predictors = [
        Predictor(model, level=case.level, device="cpu", precision=step.precision, fused=step.fused) for step in STEPS
    ]
    seconds: list[list[float]] = [[] for _ in STEPS]
    faults: list[list[int]] = [[] for _ in STEPS]
    for _ in range(turns):
        for index, step in enumerate(STEPS):
            wanted = inner if step.cut else None
            with warm_memory(step.warm):
                predictors[index](outer, wanted)
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                start = time.perf_counter()
                predictors[index](outer, wanted)
                seconds[index].append(time.perf_counter() - start)
                faults[index].append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return [
        {"step": step.name, "rate": outer.size / median(times) / 1e6, "faults": int(median(found))}
        for step, times, found in zip(STEPS, seconds, faults, strict=True)
    ]


def _inner(case: Case, side: int, halo: int) -> tuple[tuple[int, int], ...]:
    return ((halo, side - halo),) * case.spatial_dims


def measure_tiles(case: Case, sides: tuple[int, ...], halo: int, turns: int) -> list[dict[str, float]]:
    """Return megapixels a second for each outer tile size: of the input, and of the inner region that counts."""
    predictor = Predictor(case.model(), level=case.level, device="cpu", precision="bf16")
    seconds: dict[int, list[float]] = {side: [] for side in sides}
    with warm_memory():
        for turn in range(turns + 1):
            for side in sides:
                outer = np.zeros((1, *(side,) * case.spatial_dims), np.float32)
                start = time.perf_counter()
                predictor(outer, _inner(case, side, halo))
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
