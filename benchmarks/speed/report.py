"""From results to docs/performance.md (between its markers) and docs/images/speed.png."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

START, END = "<!-- measured: start -->", "<!-- measured: end -->"
OTHERS = ("MONAI, default", "MONAI, tuned", "tiler loop", "bioimageio.core", "nnU-Net")
OURS = ("ours, fp32", "ours", "bare network")
COLOURS = {
    "MONAI, default": "#4477aa",
    "MONAI, tuned": "#66ccee",
    "tiler loop": "#bbbbbb",
    "bioimageio.core": "#ccbb44",
    "nnU-Net": "#aa3377",
    "ours, fp32": "#a8d5a2",
    "ours": "#228833",
    "bare network": "#222222",
}

Case = dict[str, Any]


def write_report(results: dict[str, Any], docs: Path) -> None:
    """Replace what stands between the markers of performance.md, and draw the plot."""
    page = docs / "performance.md"
    before, rest = page.read_text().split(START)
    after = rest.split(END)[1]
    parts = [_machine(results), _speeds(results), _ratios(results), _aims(results)]
    parts += [_parts(results), _tiles(results), _memory(results)]
    page.write_text(before + START + "\n\n" + "\n\n".join(part for part in parts if part) + "\n\n" + END + after)
    _plot(results["cases"], docs / "images" / "speed.png")


def _table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _machine(results: dict[str, Any]) -> str:
    found = results["machine"]
    note = f" {found['note']}" if found.get("note") else ""
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return f"{found['cpu']}, threads: {found['threads']}, torch {found['torch']}, {packages}, {found['date']}.{note}"


def _speeds(results: dict[str, Any]) -> str:
    cases = results["cases"]
    rows = [["image", *(" x ".join(map(str, case["shape"])) for case in cases)]]
    rows += [[name, *(_rate_text(case, name) for case in cases)] for name in (*OTHERS, *OURS)]
    return "\n\n".join(
        [
            "### Megapixels (or megavoxels) of image a second",
            "Medians of turns; how many turns stands in brackets.",
            _table(["", *(case["case"] for case in cases)], rows),
            "What `segment` chose by itself:",
            "\n".join(f"* {case['case']}: {case['precision']}, {case['pieces']}" for case in cases),
        ]
    )


def _rate_text(case: Case, name: str) -> str:
    if name in case["rate"]:
        return f"{case['rate'][name]:.3f} ({len(case['seconds'][name])})"
    return str(case["missing"].get(name, "not run"))


def _ratios(results: dict[str, Any]) -> str:
    cases = results["cases"]
    pairs = [("ours", slow) for slow in OTHERS] + [("ours, fp32", "MONAI, default"), ("ours", "bare network")]
    rows = [[f"{fast} : {slow}", *(_ratio_text(case, slow, fast) for case in cases)] for fast, slow in pairs]
    return "### How many times as fast\n\n" + _table(["", *(case["case"] for case in cases)], rows)


def _ratio_text(case: Case, slow: str, fast: str) -> str:
    found = paired(case, slow, fast)
    if found is None:
        return "-"
    return f"{found:.2f}" if slow == "bare network" else f"{found:.1f}"


def paired(case: Case, slow: str, fast: str) -> float | None:
    """Median over turns of the ratio within a turn, so that what the machine did meanwhile cancels; None: not run."""
    if slow not in case["seconds"] or fast not in case["seconds"]:
        return None
    pairs = zip(case["seconds"][slow], case["seconds"][fast], strict=False)  # the slow ones have fewer turns
    ratios = sorted(a / b for a, b in pairs)
    middle = len(ratios) // 2
    return ratios[middle] if len(ratios) % 2 else (ratios[middle - 1] + ratios[middle]) / 2


def _aims(results: dict[str, Any]) -> str:
    """What was aimed at on a CPU with bf16 units, beside what was reached here."""
    found = {case["case"]: case for case in results["cases"]}
    two = [case for case in results["cases"] if len(case["shape"]) == 2]
    aims = [
        ("U-Net: times MONAI's defaults", "15", _of(found, "U-Net", "MONAI, default")),
        ("U-Net: times MONAI, tuned", "2.5", _of(found, "U-Net", "MONAI, tuned")),
        ("UNet++ L4: times MONAI's defaults", "12", _of(found, "UNet++ L4", "MONAI, default")),
        ("UNet++ L4: times MONAI, tuned", "2.5", _of(found, "UNet++ L4", "MONAI, tuned")),
        ("3D U-Net, exact: times MONAI's defaults", "4", _of(found, "3D U-Net", "MONAI, default")),
        ("of the bare network's speed", "0.85", _range(results["cases"], "bare network", "ours")),
        ("in float32, 2D: times MONAI's defaults", "2", _range(two, "MONAI, default", "ours, fp32")),
    ]
    within = [abs(row["measured"] / row["predicted"] - 1) <= 0.1 for row in results["memory"]]
    if within:
        aims.append(("peak memory within 10 % of the plan", "all", f"{sum(within)} of {len(within)} rows below"))
    return "### Against what was aimed at\n\n" + _table(["", "aim", "here"], aims)


def _of(found: dict[str, Case], name: str, slow: str) -> str:
    return _ratio_text(found[name], slow, "ours") if name in found else "-"


def _range(cases: Sequence[Case], slow: str, fast: str) -> str:
    ratios = [ratio for case in cases if (ratio := paired(case, slow, fast)) is not None]
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "-"


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
            row["pieces"],
            f"{row['predicted'] / 2**20:,.0f}",
            f"{row['measured'] / 2**20:,.0f}",
            f"{row['measured'] / row['predicted']:.2f}",
        ]
        for row in results["memory"]
    ]
    return "### Peak memory added by a run, MiB\n\n" + _table(
        ["network", "precision", "pieces", "predicted", "measured", "measured : predicted"], rows
    )


def _plot(cases: Sequence[Case], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    shown = [name for name in COLOURS if any(name in case["rate"] for case in cases)]
    figure, axes = plt.subplots(figsize=(10, 4.5))
    width = 0.84 / len(shown)
    for index, name in enumerate(shown):
        places = [number + (index - (len(shown) - 1) / 2) * width for number in range(len(cases))]
        rates = [case["rate"].get(name, float("nan")) for case in cases]
        axes.bar(places, rates, 0.92 * width, label=name, color=COLOURS[name])
    axes.set_xticks(range(len(cases)), [f"{case['case']}\n{' x '.join(map(str, case['shape']))}" for case in cases])
    axes.set_ylabel("megapixels (megavoxels) a second")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", which="both", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    axes.legend(ncols=4, fontsize="small", frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
