"""Score a model on the images that its training held out, one row for each data set.

    python benchmarks/accuracy/held_out.py MODEL DATASET... [--seed 0] [--fraction 0.15] [--level N] [--overlays DIR]

The split is the one that ``napari-seamless train`` makes of the same data sets, seed and fraction: whole image groups
(``mosaic_group`` of ``index.csv``) are held out. Every held-out image counts, at its own resolution; a row is the mean
over its images. ``--overlays`` writes pictures with outlines, truth in green and prediction in magenta.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import imagecodecs
import numpy as np
from skimage.segmentation import find_boundaries

import napari_seamless as ns
from napari_seamless.images.intensity import measure_range, normalise
from napari_seamless.inference.source import source_of
from napari_seamless.training.dataset import open_datasets
from napari_seamless.training.split import split_by_group

COLUMNS = ("iou", "dice", "ap50", "ap75", "ap_mean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fraction", type=float, default=0.15)
    parser.add_argument("--level", type=int, default=None)
    parser.add_argument("--every", type=int, default=1, help="score every Nth image only")
    parser.add_argument("--overlays", type=Path, default=None)
    options = parser.parse_args()
    model = ns.load_model(options.model)
    _, held_out = split_by_group(open_datasets(options.datasets), options.fraction, options.seed)
    print(f"{'set':22} images objects found " + " ".join(f"{name:>7}" for name in COLUMNS) + "   s/Mpx")
    for name in sorted({example.dataset for example in held_out}):
        examples = [example for example in held_out if example.dataset == name][:: options.every]
        report(name, model, examples, options.level, options.overlays)


def report(name: str, model: ns.Model, examples: list[ns.Example], level: int | None, overlays: Path | None) -> None:
    scores, pixels = [], 0
    began = time.perf_counter()
    for example in examples:
        predicted = ns.segment(example.image, model, level=level or "auto")
        scores.append(ns.evaluate(predicted, example.labels))
        pixels += predicted.size
        if overlays is not None:
            write_overlay(overlays, model, example, np.asarray(predicted))
    seconds = (time.perf_counter() - began) / (pixels / 1e6)
    found, true = (sum(score[key] for score in scores) for key in ("n_predicted", "n_truth"))
    means = " ".join(f"{np.mean([score[key] for score in scores]):7.4f}" for key in COLUMNS)
    print(f"{name:22} {len(examples):6} {true:7} {found:5} {means} {seconds:7.2f}", flush=True)


def write_overlay(folder: Path, model: ns.Model, example: ns.Example, predicted: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(source_of(example.image, model).data)
    scaled = normalise(pixels, measure_range(pixels, model.normalization)).clip(0, 1)
    picture = np.broadcast_to(scaled, (3, *scaled.shape[1:])).copy()
    picture[:, find_boundaries(example.labels)] = np.array([[0.0], [1.0], [0.0]])
    picture[:, find_boundaries(predicted, mode="inner")] = np.array([[1.0], [0.0], [1.0]])
    png = imagecodecs.png_encode(np.ascontiguousarray((255 * picture.transpose(1, 2, 0)).astype(np.uint8)))
    (folder / f"{example.name.replace('/', '_')[:40]}.png").write_bytes(png)


if __name__ == "__main__":
    main()
