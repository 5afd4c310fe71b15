"""How good a model gets from a few annotated boxes, beside a random forest trained on the same boxes.

    python benchmarks/accuracy/few_labels.py usiigaci_phase/train --boxes 1 3 10 --seconds 60 300 --seeds 0 1 2

Each seed sets six fields aside, and annotates boxes of 256 x 256 pixels in that many of the others. A row is the mean
over the six untouched fields, of the IoU of the foreground and of the AP50 of the objects. The methods:

- ``finetune``: `napari_seamless.finetune` of ``--model``, with one box in three or more held out by it for validation
- ``scratch``: `napari_seamless.train` of a new UNet++ for the same time
- ``forest``: scikit-image's multiscale features and scikit-learn's random forest, as in pixel classifiers
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

import napari_seamless as ns
from napari_seamless.training.dataset import open_dataset
from napari_seamless.training.options import TrainingOptions

N_TEST = 6
SIDE = 256
LEAST_OBJECTS = 3

Predict = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default="nuclei-2d")
    parser.add_argument("--methods", nargs="+", default=["forest", "finetune", "scratch"])
    parser.add_argument("--boxes", nargs="+", type=int, default=[1, 3, 10])
    parser.add_argument("--seconds", nargs="+", type=float, default=[60.0, 300.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path, default=None, help="append each row to this file")
    options = parser.parse_args()
    fields = open_dataset(options.dataset)
    for seed in options.seeds:
        order = np.random.default_rng(seed).permutation(len(fields))
        test, pool = [fields[index] for index in order[:N_TEST]], [fields[index] for index in order[N_TEST:]]
        report(options.json, {"method": "parent", "seed": seed, **score(segmenter(options.model), test)})
        for n_boxes in options.boxes:
            annotated = [annotate(field, seed) for field in pool[:n_boxes]]
            for method in options.methods:
                for seconds in options.seconds if method != "forest" else [0.0]:
                    began = time.perf_counter()
                    predict, facts = METHODS[method](annotated, seconds, seed, options.model)
                    took = round(time.perf_counter() - began, 1)
                    row = {"method": method, "boxes": n_boxes, "seed": seed, "budget": seconds, "took": took}
                    report(options.json, {**row, **facts, **score(predict, test)})


def annotate(field: ns.Example, seed: int) -> ns.Example:
    """Verify one box of a field, where there are some objects."""
    random = np.random.default_rng([seed, len(field.name)])
    labels = np.asarray(field.labels)
    for _ in range(200):
        top, left = (int(random.integers(0, length - SIDE)) for length in labels.shape)
        box = (slice(top, top + SIDE), slice(left, left + SIDE))
        if len(np.unique(labels[box])) > LEAST_OBJECTS:
            break
    verified = np.zeros(labels.shape, bool)
    verified[box] = True
    return ns.Example(field.image, labels, verified, name=field.name)


def finetune(examples: list[ns.Example], seconds: float, seed: int, model: str) -> tuple[Predict, dict[str, object]]:
    result = ns.finetune(model, examples, seconds=seconds, seed=seed, price=False)
    return segmenter(result.model), {"steps": result.history[-1]["step"], "better": result.better}


def scratch(examples: list[ns.Example], seconds: float, seed: int, model: str) -> tuple[Predict, dict[str, object]]:
    result = ns.train(examples, TrainingOptions(seconds=seconds, seed=seed), price=False)
    return segmenter(result.model), {"steps": result.history[-1]["step"]}


def forest(examples: list[ns.Example], seconds: float, seed: int, model: str) -> tuple[Predict, dict[str, object]]:
    features, truth = [], []
    for example in examples:
        chosen = np.asarray(example.verified)
        features.append(features_of(np.asarray(example.image.data))[chosen])
        truth.append(np.asarray(example.labels)[chosen] > 0)
    classifier = RandomForestClassifier(n_estimators=100, max_depth=15, max_samples=0.2, n_jobs=-1, random_state=seed)
    classifier.fit(np.concatenate(features), np.concatenate(truth))

    def predict(image: np.ndarray) -> np.ndarray:
        found = features_of(image)
        return classifier.predict(found.reshape(-1, found.shape[-1])).reshape(image.shape).astype(np.uint8)

    return predict, {}


def features_of(image: np.ndarray) -> np.ndarray:
    return multiscale_basic_features(image, intensity=True, edges=True, texture=True, sigma_min=1, sigma_max=16)


METHODS = {"finetune": finetune, "scratch": scratch, "forest": forest}


def segmenter(model: ns.Model | str) -> Predict:
    return lambda image: np.asarray(ns.segment(image, model, axes="YX"))


def score(predict: Predict, fields: list[ns.Example]) -> dict[str, float]:
    scores = [ns.evaluate(predict(np.asarray(field.image.data)), np.asarray(field.labels)) for field in fields]
    return {name: round(float(np.mean([one[name] for one in scores])), 4) for name in ("iou", "ap50")}


def report(path: Path | None, row: dict[str, object]) -> None:
    line = json.dumps(row)
    print(line, flush=True)
    if path is not None:
        with path.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
