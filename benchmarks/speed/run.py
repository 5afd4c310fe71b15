"""Measure the speed of segmenting on this machine and write docs/performance.md's tables and its plot.

    tox -e bench                 everything, in about an hour on two cores
    tox -e bench -- --quick      U-Net and UNet++ L4 on a small image, once; nothing is written

Contenders take turns (A B A B): what else the machine does then hurts all of them alike. Medians are shown; who needs
more than `--slow` seconds for a turn gets fewer turns, and the table says how many.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ablation import measure_parts, measure_tiles
from cases import CASES, Case, Contender, image_for
from memory import measure_memory
from others import others
from ours import ours, pieces_text, plan_for
from report import write_report

TILE_SIDES = (320, 448, 576, 704, 960, 1216, 1472, 1984)
PARTS_SIDE = 1216
"""Large enough that activations pass 32 MiB, above which glibc always asks the kernel."""

MEMORY_SIZES: dict[int, tuple[tuple[int, int | str], ...]] = {2: ((960, 480),), 3: ((64, 64), (256, "auto"))}
"""Image sides and tile sizes for the memory table: small enough for a laptop, and in 3D what is streamed as well."""

WARM_UP_SIDE = {2: 512, 3: 96}
EXACT = "ours, fp32"
"""Whose labels the others' are compared with: those of the whole image."""

PACKAGES = ("monai", "tiler", "bioimageio.core", "nnunetv2")


def contenders(case: Case, side: int, device: str) -> dict[str, Contender | str]:
    """Return every way to get labels of the case's image, by name, or why one is missing; the bare network is last."""
    image = image_for(case, side)
    return {**others(case, image, device), **ours(case, image, device)}


def measure(case: Case, chosen: argparse.Namespace) -> dict[str, Any]:
    """Return seconds of every contender, in turns, and how much of its labels is what the whole image gives."""
    left_out = {name: "left out" for name in chosen.without.split(",")}
    for way in contenders(case, min(case.side, WARM_UP_SIDE[case.spatial_dims]), chosen.device).values():
        if not isinstance(way, str):
            way()  # loads and compiles everything once
    ways = {**contenders(case, case.side, chosen.device)}
    ways.update((name, reason) for name, reason in left_out.items() if name in ways)
    missing = {name: way for name, way in ways.items() if isinstance(way, str)}
    running = {name: way for name, way in ways.items() if not isinstance(way, str)}
    seconds, agreement = _in_turns(case.name, running, chosen)
    plan = plan_for(case, image_for(case, case.side), chosen.device)
    pixels = case.side**case.spatial_dims
    return {
        "case": case.name,
        "shape": [case.side] * case.spatial_dims,
        "pieces": pieces_text(plan),
        "precision": plan.precision,
        "seconds": seconds,
        "rate": {name: pixels / median(times) / 1e6 for name, times in seconds.items()},
        "agreement": agreement,
        "missing": missing,
    }


def _in_turns(
    case: str, ways: dict[str, Contender], chosen: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, float]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    labels = {}
    for turn in range(chosen.turns):
        for name, way in ways.items():
            if turn >= chosen.turns_slow and seconds[name][0] > chosen.slow:
                continue
            start = time.perf_counter()
            made = way()
            seconds[name].append(time.perf_counter() - start)
            print(f"{case} {turn + 1}/{chosen.turns} {name}: {seconds[name][-1]:.2f} s", flush=True)
            if made is not None:
                labels[name] = made
    exact = labels.get(EXACT)
    return seconds, {} if exact is None else {name: float((made == exact).mean()) for name, made in labels.items()}


def machine() -> dict[str, object]:
    """Facts without which the numbers mean nothing."""
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
        "packages": {package: found for package in PACKAGES if (found := _version(package))},
        "date": time.strftime("%Y-%m-%d"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the options; `--quick` and `--threads` are taken care of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="U-Net and UNet++ L4, 640 pixels, one turn, parts only")
    parser.add_argument("--size", type=int, help="pixels a side of 2D images; by default 4096, for UNet++ 2048")
    parser.add_argument("--size-3d", type=int, help="voxels a side of the volume; by default 256")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--turns-slow", type=int, default=1, help="of contenders whose first turn takes --slow seconds")
    parser.add_argument("--slow", type=float, default=45.0, metavar="SECONDS")
    parser.add_argument("--cases", help="names, separated by commas")
    parser.add_argument("--threads", type=int, help="of torch; by default as many as it takes")
    parser.add_argument("--note", default="", help="a sentence about the conditions, for the page")
    parser.add_argument("--parts", default="cases,parts,tiles,memory", help="what to measure")
    parser.add_argument("--without", default="", help="contenders to leave out, for example 'tiler loop'")
    parser.add_argument("--add", action="store_true", help="keep earlier results of what is not measured now")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/speed/results.json"))
    parser.add_argument("--only-report", action="store_true", help="write the page from the results that are there")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.size, chosen.turns, chosen.cases = chosen.size or 640, 1, chosen.cases or "U-Net,UNet++ L4"
        chosen.parts = "cases,parts"
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    return chosen


def chosen_cases(chosen: argparse.Namespace) -> list[Case]:
    """Return the cases that were asked for, with the sides that were asked for."""
    names = chosen.cases.split(",") if chosen.cases else [case.name for case in CASES]
    sides = {2: chosen.size, 3: chosen.size_3d}
    return [replace(case, side=sides[case.spatial_dims] or case.side) for case in CASES if case.name in names]


def main() -> None:
    """Measure, keep the numbers after every case, write the page."""
    chosen = arguments()
    if not chosen.only_report:
        results = _measured(chosen_cases(chosen), chosen)
        print(json.dumps({name: results[name] for name in ("machine", "cases", "parts", "tiles", "memory")}, indent=1))
    if not chosen.quick and chosen.results.exists():
        write_report(json.loads(chosen.results.read_text()), Path("docs"))


def _measured(cases: list[Case], chosen: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": machine(), "cases": [], "parts": {}, "tiles": [], "memory": []}
    if chosen.add and chosen.results.exists():
        results.update({**json.loads(chosen.results.read_text()), "machine": machine()})
    if chosen.note:
        results["machine"]["note"] = chosen.note
    wanted = chosen.parts.split(",")
    for case in cases if "cases" in wanted else []:
        _replace(results["cases"], measure(case, chosen))
        _keep(results, chosen)
    for case in cases if "parts" in wanted else []:
        if case.spatial_dims == 2 and case.level == 4:
            results["parts"][case.name] = measure_parts(case, PARTS_SIDE, chosen.turns)
    _keep(results, chosen)
    if "tiles" in wanted:
        results["tiles"] = measure_tiles(CASES[0], TILE_SIDES, 96, chosen.turns)
        _keep(results, chosen)
    if "memory" in wanted:
        results["memory"] = [
            measure_memory(case, side, tile_size, dtype)
            for case in cases
            for side, tile_size in MEMORY_SIZES[case.spatial_dims]
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
