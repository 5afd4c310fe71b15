"""What the papers' recipe brings on membranes in electron micrographs (ISBI 2012), one variant after the other.

    python benchmarks/accuracy/em_membranes.py isbi2012_em --seconds 240 --seeds 0 [--variants unet-plain unet-full ...]

Trained on slices 0 to 17 (the last of them held out by the training itself), tested on slices 18 to 23. ``plain`` is
cross entropy and flips; ``full`` adds to it rotation, scaling, grey values, elastic deformation, the border weight map
and Dice; ``no-elastic`` and ``no-weights`` leave one of them out.

Scores: pixel error and IoU of the membranes at a probability of 0.5; adapted Rand error of the cells, which are the
connected parts between membranes, not counting the truth's membranes: at 0.5, and at the best of nine thresholds, as in
the challenge.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from skimage.measure import label
from skimage.metrics import adapted_rand_error

import napari_seamless as ns
from napari_seamless.training.augmentation import NO_AUGMENTATION, AugmentationOptions
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.target_options import TargetOptions

N_TRAIN = 18
THRESHOLDS = np.round(np.arange(0.1, 0.95, 0.1), 1)

BORDERS = TargetOptions(weighting="border", cell_class=0)
FULL = {"augmentation": AugmentationOptions(), "targets": BORDERS, "loss": "dice_cross_entropy"}
RECIPES = {
    "plain": {"augmentation": replace(NO_AUGMENTATION, flips=True), "loss": "cross_entropy"},
    "full": FULL,
    "no-elastic": {**FULL, "augmentation": AugmentationOptions(elastic=0.0)},
    "no-weights": {**FULL, "targets": TargetOptions()},
}
VARIANTS = [f"{network}-{recipe}" for network in ("unet", "unetpp") for recipe in RECIPES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--features", nargs="+", type=int, default=[16, 32, 64, 128, 256])
    parser.add_argument("--steps", type=int, default=None, help="instead of seconds: the same on any machine")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path, default=None, help="append each row to this file")
    parser.add_argument("--save", type=Path, default=None, help="keep the models in this folder")
    options = parser.parse_args()
    images, labels = (tifffile.imread(options.folder / f"{name}.tif") for name in ("images", "labels"))
    budget = {"steps": options.steps} if options.steps else {"seconds": options.seconds}
    for seed in options.seeds:
        for variant in options.variants:
            network, recipe = variant.split("-", 1)
            result = ns.train(
                [ns.Example(images[:N_TRAIN], labels[:N_TRAIN], name="slices 0-17")],
                TrainingOptions(**budget, seed=seed, **RECIPES[recipe]),
                task="semantic",
                spatial_dims=2,
                architecture=network,
                features=options.features,
                classes=("inside", "membrane"),
                name=variant,
                price=network == "unetpp",
            )
            took = round(result.history[-1]["seconds"], 1)
            row = {"took": took, "variant": variant, "seed": seed, **budget, "steps": result.history[-1]["step"]}
            if options.save is not None:
                ns.save_model(result.model, options.save / f"{variant}-{seed}", overwrite=True)
            levels = result.model.config.levels if recipe == "full" else (result.model.config.depth,)
            for level in levels:
                report(options.json, {**row, "level": level, **score(result.model, level, images, labels)})


def score(model: ns.Model, level: int, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the mean over the test slices."""
    scores = []
    for image, truth in zip(images[N_TRAIN:], labels[N_TRAIN:], strict=True):
        membrane = ns.predict_probabilities(image, model, axes="YX", level=level)[1]
        found, true = membrane > 0.5, truth > 0
        rand = [rand_error(membrane, threshold, truth) for threshold in THRESHOLDS]
        scores.append(
            {
                "pixel_error": np.mean(found != true),
                "iou": np.sum(found & true) / np.sum(found | true),
                "rand": rand[list(THRESHOLDS).index(0.5)],
                "rand_best": min(rand),
            }
        )
    return {name: round(float(np.mean([one[name] for one in scores])), 4) for name in scores[0]}


def rand_error(membrane: np.ndarray, threshold: float, truth: np.ndarray) -> float:
    cells, true_cells = (label(inside, connectivity=1) for inside in (membrane < threshold, truth == 0))
    return float(adapted_rand_error(true_cells, cells)[0])


def report(path: Path | None, row: dict[str, object]) -> None:
    line = json.dumps(row)
    print(line, flush=True)
    if path is not None:
        with path.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
