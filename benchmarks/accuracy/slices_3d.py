"""A 3D network from a few annotated slices of each volume, against all slices (Cicek 2016, arXiv 1606.06650).

    python benchmarks/accuracy/slices_3d.py bbbc050_embryo3d/train --seconds 300 --seeds 0

Four volumes are set aside for the test; the others are trained on (`train` holds two of them out by itself), once with
three annotated planes along Z, at a quarter, half and three quarters of the depth, and once with all of them. Scores
are means over the untouched volumes: IoU of the foreground, AP50 of the nuclei in 3D.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import napari_seamless as ns
from napari_seamless.training.dataset import open_dataset
from napari_seamless.training.options import TrainingOptions

N_TEST = 4
FEATURES = (16, 32, 64, 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--slices", nargs="+", default=["three", "all"])
    parser.add_argument("--steps", type=int, default=None, help="instead of seconds: the same on any machine")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path, default=None, help="append each row to this file")
    options = parser.parse_args()
    volumes = open_dataset(options.dataset)
    budget = {"steps": options.steps} if options.steps else {"seconds": options.seconds}
    for seed in options.seeds:
        order = np.random.default_rng(seed).permutation(len(volumes))
        test, pool = [volumes[index] for index in order[:N_TEST]], [volumes[index] for index in order[N_TEST:]]
        for slices in options.slices:
            annotated = [some_slices(volume) for volume in pool] if slices == "three" else pool
            result = ns.train(annotated, TrainingOptions(**budget, seed=seed), architecture="unet", features=FEATURES)
            took = round(result.history[-1]["seconds"], 1)
            row = {"took": took, "slices": slices, "seed": seed, **budget, "steps": result.history[-1]["step"]}
            line = json.dumps({**row, **score(result.model, test)})
            print(line, flush=True)
            if options.json is not None:
                with options.json.open("a") as file:
                    file.write(line + "\n")


def some_slices(volume: ns.Example) -> ns.Example:
    """Verify three planes of a volume."""
    verified = np.zeros(volume.labels.shape, bool)
    verified[[round(part * len(verified)) for part in (0.25, 0.5, 0.75)]] = True
    # What nobody annotated is not there: the other planes' labels must not help.
    labels = np.where(verified, np.asarray(volume.labels), 0)
    return ns.Example(volume.image, labels, verified, name=volume.name, group=volume.group, dataset=volume.dataset)


def score(model: ns.Model, volumes: list[ns.Example]) -> dict[str, float]:
    scores = [ns.evaluate(np.asarray(ns.segment(one.image, model)), np.asarray(one.labels)) for one in volumes]
    return {name: round(float(np.mean([one[name] for one in scores])), 4) for name in ("iou", "ap50")}


if __name__ == "__main__":
    main()
