"""How much the target (background, rim, core) loses: truth → target → objects, scored against the truth.

    python benchmarks/accuracy/instance_ceiling.py FOLDER... [--every N] [--voxel-size Z Y X]

Each FOLDER holds ``labels/*.tif``. Prints one row for each pair of constants.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import tifffile

from napari_seamless.metrics import evaluate
from napari_seamless.objects.instances import InstanceRule, instances_from_states
from napari_seamless.training.targets import instance_target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=1, help="use every Nth file")
    parser.add_argument("--voxel-size", type=float, nargs="*", default=None)
    parser.add_argument("--depths", type=float, nargs="*", default=[1.0, 1.5, 2.0, 2.5, 3.0])
    parser.add_argument("--fractions", type=float, nargs="*", default=[0.4, 0.5, 0.6])
    parser.add_argument("--grow-steps", type=int, default=8)
    options = parser.parse_args()
    rule = InstanceRule(grow_steps=options.grow_steps)
    print("set                  depth fraction   iou   ap50   ap75  ap_mean  objects (truth)  core share")
    for folder in options.folders:
        truths = [tifffile.imread(path) for path in sorted((folder / "labels").glob("*.tif"))[:: options.every]]
        for depth, fraction in itertools.product(options.depths, options.fractions):
            report(folder.name, truths, options.voxel_size, depth, fraction, rule)


def report(
    name: str,
    truths: list[np.ndarray],
    voxel_size: list[float] | None,
    depth: float,
    fraction: float,
    rule: InstanceRule,
) -> None:
    scores, core, foreground = [], 0, 0
    for truth in truths:
        states = instance_target(truth, voxel_size, rim_depth=depth, rim_fraction=fraction)
        core += int((states == 2).sum())
        foreground += int((states > 0).sum())
        scores.append(evaluate(instances_from_states(states, rule), truth))
    mean = {key: np.mean([score[key] for score in scores]) for key in scores[0]}
    found, true = (sum(score[key] for score in scores) for key in ("n_predicted", "n_truth"))
    print(
        f"{name:20} {depth:5.1f} {fraction:8.2f} {mean['iou']:.3f} {mean['ap50']:.4f} {mean['ap75']:.4f} "
        f"{mean['ap_mean']:.4f}   {found:6} ({true:6})   {core / max(foreground, 1):.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
