"""Measure the speed of segmenting on this machine and write docs/performance.md's tables and its plot.

    tox -e bench                 everything (hours on a slow machine: see --size and --repeats)
    tox -e bench -- --quick      U-Net and UNet++ L4 on a small image, once; nothing is written

Contenders take turns (A B A B): what else the machine does then hurts all of them alike. Medians are shown.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ablation import measure_parts, measure_tiles
from cases import CASES, Case, contenders, image_for
from memory import measure_memory
from report import write_report

import napari_seamless as ns

TILE_SIDES = (320, 448, 576, 704, 960, 1216, 1472, 1984)
PARTS_SIDE = 1216
"""Large enough that activations pass 32 MiB, above which glibc always asks the kernel."""

MEMORY_SIZES = {2: (960, 480), 3: (64, 64)}
"""Image side and tile size for the memory table: small enough for a laptop."""


def measure(case: Case, size: int, repeats: int, device: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return seconds of every contender, in turns."""
    image = image_for(case, size)
    ways = {name: way for name, way in contenders(case, image, device).items() if name not in without}
    ways["bare forward"]()  # loads everything once
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
            print(f"{case.name} {turn + 1}/{repeats} {name}: {seconds[name][-1]:.2f} s", flush=True)
    plan = ns.plan_segmentation(image, case.model(), axes=case.axes, level=case.level, device=device, calibrate=False)
    return {
        "case": case.name,
        "size": size,
        "shape": list(image.shape),
        "tile_size": list(plan.tile_size),
        "halo": list(plan.halo),
        "precision": plan.precision,
        "seconds": seconds,
        "rate": {name: image.size / median(times) / 1e6 for name, times in seconds.items()},
    }


def machine() -> dict[str, object]:
    """Facts without which the numbers mean nothing."""
    import monai

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
        flags = next((line for line in lines if line.startswith("flags")), "")
        units = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in flags.split()]
        name += f" ({', '.join(units)})"
    return {
        "cpu": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="U-Net and UNet++ L4, 640 pixels, one turn")
    parser.add_argument("--size", type=int, default=4096, help="pixels a side of the 2D image")
    parser.add_argument("--size-3d", type=int, default=256, help="pixels a side of the volume")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cases", help="names, separated by commas")
    parser.add_argument("--threads", type=int, help="of torch; by default as many as it takes")
    parser.add_argument("--note", default="", help="a sentence about the conditions, for the page")
    parser.add_argument("--parts", default="cases,parts,tiles,memory", help="what to measure")
    parser.add_argument("--without", default="", help="contenders to leave out, for example 'overlap loop'")
    parser.add_argument("--add", action="store_true", help="keep earlier results of what is not measured now")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/speed/results.json"))
    parser.add_argument("--only-report", action="store_true", help="write the page from the results that are there")
    return parser.parse_args()


def main() -> None:
    """Measure, keep the numbers after every case, write the page."""
    chosen = _arguments()
    if chosen.quick:
        chosen.size, chosen.repeats, chosen.cases = 640, 1, chosen.cases or "U-Net,UNet++ L4"
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    if not chosen.only_report:
        names = chosen.cases.split(",") if chosen.cases else [case.name for case in CASES]
        results = _measured([case for case in CASES if case.name in names], chosen)
        print(json.dumps({name: results[name] for name in ("machine", "parts", "tiles", "memory")}, indent=1))
    if not chosen.quick and chosen.results.exists():
        write_report(json.loads(chosen.results.read_text()), Path("docs"))


def _measured(cases: list[Case], chosen: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": machine(), "cases": [], "parts": {}, "tiles": [], "memory": []}
    if chosen.add and chosen.results.exists():
        results.update(json.loads(chosen.results.read_text()))
    if chosen.note:
        results["machine"]["note"] = chosen.note
    wanted = chosen.parts.split(",")
    for case in cases if "cases" in wanted else []:
        size = chosen.size if case.spatial_dims == 2 else chosen.size_3d
        _replace(results["cases"], measure(case, size, chosen.repeats, chosen.device, tuple(chosen.without.split(","))))
        _keep(results, chosen)
    for case in cases if "parts" in wanted else []:
        if case.spatial_dims == 2 and case.level == 4:
            results["parts"][case.name] = measure_parts(case, PARTS_SIDE, chosen.repeats)
    _keep(results, chosen)
    if not chosen.quick and "tiles" in wanted:
        results["tiles"] = measure_tiles(CASES[0], TILE_SIDES, 96, chosen.repeats)
        _keep(results, chosen)
    if not chosen.quick and "memory" in wanted:
        results["memory"] = [
            measure_memory(case, *MEMORY_SIZES[case.spatial_dims], dtype)
            for case in cases
            for dtype in ("fp32", "bf16")
        ]
        _keep(results, chosen)
    return results


def _replace(measured: list[dict[str, Any]], new: dict[str, Any]) -> None:
    """Put a case's results where they belong in the order of `CASES`."""
    order = [case.name for case in CASES]
    measured[:] = sorted(
        [*(old for old in measured if old["case"] != new["case"]), new], key=lambda one: order.index(one["case"])
    )


def _keep(results: dict[str, Any], chosen: argparse.Namespace) -> None:
    if not chosen.quick:
        chosen.results.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
