"""From results to docs/performance.md (between its markers) and docs/images/speed.png."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

START, END = "<!-- measured: start -->", "<!-- measured: end -->"
ORDER = ("MONAI, default", "MONAI, tuned", "overlap loop", "ours, fp32", "ours", "bare forward")


def write_report(results: dict[str, Any], docs: Path) -> None:
    """Replace what stands between the markers of performance.md, and draw the plot."""
    page = docs / "performance.md"
    before, rest = page.read_text().split(START)
    after = rest.split(END)[1]
    parts = [_machine(results), _speeds(results), _parts(results), _tiles(results), _memory(results)]
    page.write_text(before + START + "\n\n" + "\n\n".join(part for part in parts if part) + "\n\n" + END + after)
    _plot(results, docs / "images" / "speed.png")


def _table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _machine(results: dict[str, Any]) -> str:
    found = results["machine"]
    note = f" {found['note']}" if found.get("note") else ""
    return (
        f"{found['cpu']}, threads: {found['threads']}, torch {found['torch']}, MONAI {found['monai']}, "
        f"{found['date']}.{note}"
    )


def _speeds(results: dict[str, Any]) -> str:
    rows = []
    for case in results["cases"]:
        rate = case["rate"]
        ratio = _ratios(case)
        image = " x ".join(map(str, case["shape"]))
        rows.append(
            [
                case["case"],
                image,
                *(f"{rate[name]:.3f}" if name in rate else "not run" for name in ORDER),
                f"{ratio['MONAI, default']:.1f}",
                f"{ratio['MONAI, tuned']:.1f}",
                f"{_paired(case, 'MONAI, default', 'ours, fp32'):.1f}",
                f"{ratio['bare forward']:.2f}",
                len(case["seconds"]["ours"]),
            ]
        )
    titles = ["network", "image", *ORDER, "ours : default", "ours : tuned", "fp32 : default", "ours : bare", "turns"]
    return "### Megapixels (or megavoxels) of image a second, medians of turns\n\n" + _table(titles, rows)


def _ratios(case: dict[str, Any]) -> dict[str, float]:
    return {name: _paired(case, name, "ours") for name in ("MONAI, default", "MONAI, tuned", "bare forward")}


def _paired(case: dict[str, Any], slow: str, fast: str) -> float:
    """Median over turns of the ratio within a turn: what the machine did meanwhile cancels."""
    ratios = sorted(a / b for a, b in zip(case["seconds"][slow], case["seconds"][fast], strict=True))
    middle = len(ratios) // 2
    return ratios[middle] if len(ratios) % 2 else (ratios[middle - 1] + ratios[middle]) / 2


def _parts(results: dict[str, Any]) -> str:
    if not results["parts"]:
        return ""
    rows = [
        [name, step["step"], f"{step['rate']:.3f}", f"{step['faults']:,}"]
        for name, steps in results["parts"].items()
        for step in steps
    ]
    return "### What each part brings: one pass over 1216 x 1216\n\n" + _table(
        ["network", "step", "Mpx/s of input", "page faults a pass"], rows
    )


def _tiles(results: dict[str, Any]) -> str:
    if not results["tiles"]:
        return ""
    rows = [
        [row["outer"], row["inner"], f"{row['outer_rate']:.3f}", f"{row['inner_rate']:.3f}"] for row in results["tiles"]
    ]
    return "### Tile sizes: U-Net, bf16, halo 96\n\n" + _table(
        ["outer side", "inner side", "Mpx/s of input", "Mpx/s that count"], rows
    )


def _memory(results: dict[str, Any]) -> str:
    if not results["memory"]:
        return ""
    rows = [
        [
            row["case"],
            row["precision"],
            f"{row['predicted'] / 2**20:,.0f}",
            f"{row['measured'] / 2**20:,.0f}",
            f"{row['measured'] / row['predicted']:.2f}",
        ]
        for row in results["memory"]
    ]
    return "### Peak memory added by a run, MiB\n\n" + _table(
        ["network", "precision", "predicted", "measured", "measured : predicted"], rows
    )


def _plot(results: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cases = results["cases"]
    figure, axes = plt.subplots(figsize=(9, 4))
    width = 0.8 / len(ORDER)
    for index, name in enumerate(ORDER):
        places = [number + (index - len(ORDER) / 2) * width for number in range(len(cases))]
        axes.bar(places, [case["rate"].get(name, float("nan")) for case in cases], width, label=name)
    axes.set_xticks(range(len(cases)), [case["case"] for case in cases])
    axes.set_ylabel("megapixels (megavoxels) a second")
    axes.set_yscale("log")
    axes.legend(ncols=3, fontsize="small", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
