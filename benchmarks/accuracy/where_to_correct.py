"""Whether correcting where the model is unsure teaches it more than correcting anywhere.

    python benchmarks/accuracy/where_to_correct.py usiigaci_phase/train isbi2012_em --seeds 0 1 2 3 4 --steps 250

A person is simulated with the ground truth: they correct ``--fields`` fields of 256 x 256 pixels, chosen by following
the uncertainty map of the model that they have (``map``, what "Next" in the Correct panel does) or at random
(``random``), and then fine-tune once, on these fields alone. Scored is the IoU of the foreground on images that neither
arm has touched. A seed chooses the images, the random fields and the patches; both arms of a seed share all else.

- A folder with ``images/`` and ``labels/``: ``--model`` is fine-tuned; a seed sets four images aside for the scores,
  and offers four others for correction.
- A stack (``images.tif`` and ``labels.tif``, classes): a first model is trained for ``--first-steps`` on slice 0;
  fields are offered in slices 1 to 17, and slices 18 to 23 are scored.
"""

from __future__ import annotations

import argparse
import heapq
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import tifffile

import napari_seamless as ns
from napari_seamless.images.boxes import Box, as_slices, intersection
from napari_seamless.inference.uncertainty_map import predict_uncertainty
from napari_seamless.training.dataset import open_dataset
from napari_seamless.training.options import TrainingOptions
from napari_seamless.workspace.next_place import FIELD_SIDE, rank_fields

N_IMAGES = 4
FIRST_TEST_SLICE = 18

Image = tuple[np.ndarray, np.ndarray]
Field = tuple[int, Box]
"""The number of an image, and a part of it."""


@dataclass(frozen=True)
class Task:
    """What a simulated person starts with.

    Attributes
    ----------
    model : Model
    axes : str
        Of each image of the pool.
    pool : list of (pixels, labels)
        Where fields can be corrected.
    test : list of (pixels, labels)
        Planes that are scored.
    """

    model: ns.Model
    axes: str
    pool: list[Image]
    test: list[Image]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--fields", type=int, default=5)
    parser.add_argument("--steps", type=int, default=250, help="of the fine-tuning")
    parser.add_argument("--first-steps", type=int, default=60, help="of the first model, where there is none")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--model", default="nuclei-2d", help="the first model for a folder of images")
    parser.add_argument("--json", type=Path, default=None, help="append each row to this file")
    options = parser.parse_args()
    rows = []
    for folder in options.folders:
        for seed in options.seeds:
            task = open_task(folder, seed, options)
            facts = {"data": folder.parent.name if folder.name == "train" else folder.name, "seed": seed}
            before = score(task.model, task.test)
            for arm in options.arms:
                row = {**facts, "arm": arm, "steps": options.steps, "before": before["iou"]}
                rows.append({**row, **correct_and_finetune(task, arm, seed, options)})
                report(options.json, rows[-1])
    for line in summary(rows):
        report(options.json, line)


def open_task(folder: Path, seed: int, options: argparse.Namespace) -> Task:
    if (folder / "images.tif").exists():
        return stack_task(folder, seed, options.first_steps)
    examples = open_dataset(folder)
    order = np.random.default_rng(seed).permutation(len(examples))[: 2 * N_IMAGES]
    images = [(np.asarray(examples[i].image.data), np.asarray(examples[i].labels)) for i in order]
    return Task(ns.load_model(options.model), "YX", images[N_IMAGES:], images[:N_IMAGES])


def stack_task(folder: Path, seed: int, steps: int) -> Task:
    pixels, labels = (tifffile.imread(folder / f"{name}.tif") for name in ("images", "labels"))
    trained = ns.train(
        [ns.Example(pixels[:1], labels[:1], axes="ZYX", name="slice 0")],
        TrainingOptions(steps=steps, seed=seed, patch_size=(128, 128), batch_size=4, average_decay=0.9),
        task="semantic",
        spatial_dims=2,
        features=(16, 32, 64, 128),
        classes=("inside", "membrane"),
        name="first",
        price=False,
    )
    pool = (pixels[1:FIRST_TEST_SLICE], labels[1:FIRST_TEST_SLICE])
    test = list(zip(pixels[FIRST_TEST_SLICE:], labels[FIRST_TEST_SLICE:], strict=True))
    return Task(trained.model, "ZYX", [pool], test)


def fields_by_map(task: Task, seed: int) -> Iterator[Field]:
    """Yield what "Next" leads to, over all images of the pool."""

    def of_image(index: int, pixels: np.ndarray) -> Iterator[tuple[float, int, Box]]:
        uncertainty = predict_uncertainty(pixels, task.model, axes=task.axes)
        for found in rank_fields(uncertainty, None, task.axes):
            yield -found.uncertainty, index, found.box

    ranked = [of_image(index, pixels) for index, (pixels, _) in enumerate(task.pool)]
    for _, index, box in heapq.merge(*ranked):
        yield index, box


def fields_at_random(task: Task, seed: int) -> Iterator[Field]:
    """Yield fields of which no two overlap."""
    random = np.random.default_rng([seed, 7])
    taken: list[Field] = []
    while True:
        index = int(random.integers(len(task.pool)))
        shape = task.pool[index][1].shape
        sides = [1] * (len(shape) - 2) + [min(FIELD_SIDE, length) for length in shape[-2:]]
        starts = [int(random.integers(length - side + 1)) for length, side in zip(shape, sides, strict=True)]
        box = tuple((start, start + side) for start, side in zip(starts, sides, strict=True))
        if not any(other == index and intersection(box, place) for other, place in taken):
            taken.append((index, box))
            yield index, box


ARMS = {"map": fields_by_map, "random": fields_at_random}


def correct_and_finetune(task: Task, arm: str, seed: int, options: argparse.Namespace) -> dict[str, object]:
    """Verify the fields of an arm, fine-tune on them, and score the child."""
    began = time.perf_counter()
    fields = list(islice(ARMS[arm](task, seed), options.fields))
    chosen_after = time.perf_counter() - began
    verified = {index: np.zeros(task.pool[index][1].shape, bool) for index, _ in fields}
    for index, box in fields:
        verified[index][as_slices(box)] = True
    examples = [
        ns.Example(*task.pool[index], mask, axes=task.axes, name=f"image {index}") for index, mask in verified.items()
    ]
    result = ns.finetune(task.model, examples, steps=options.steps, seed=seed, price=False)
    truth = np.concatenate([task.pool[index][1][as_slices(box)].ravel() > 0 for index, box in fields])
    return {
        **score(result.model, task.test),
        "foreground": round(float(truth.mean()), 3),
        "fields": [[index, *(start for start, _ in box)] for index, box in fields],
        "seconds": round(time.perf_counter() - began, 1),
        "of_these_choosing": round(chosen_after, 1),
    }


def score(model: ns.Model, images: list[Image]) -> dict[str, float]:
    """Return the IoU of the foreground over all pixels of the images; for instances also the mean AP50."""
    shared = either = 0
    found_objects = []
    for pixels, truth in images:
        found = np.asarray(ns.segment(pixels, model, axes="YX"))
        shared += int(np.sum((found > 0) & (truth > 0)))
        either += int(np.sum((found > 0) | (truth > 0)))
        if model.task == "instances":
            found_objects.append(ns.evaluate(found, truth)["ap50"])
    scores = {"iou": round(shared / max(either, 1), 4)}
    return scores if not found_objects else {**scores, "ap50": round(float(np.mean(found_objects)), 4)}


def summary(rows: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    """Yield mean and standard deviation over the seeds: of each arm, and of the difference within each seed."""
    by_arm: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for row in rows:
        by_arm[str(row["data"]), str(row["arm"])][int(str(row["seed"]))] = float(str(row["iou"]))
    for (data, arm), found in by_arm.items():
        yield {"data": data, "arm": arm, **spread(list(found.values()))}
    for data in dict.fromkeys(data for data, _ in by_arm):
        guided, anywhere = by_arm.get((data, "map"), {}), by_arm.get((data, "random"), {})
        gains = [guided[seed] - anywhere[seed] for seed in guided if seed in anywhere]
        if gains:
            wins = sum(gain > 0 for gain in gains)
            yield {"data": data, "arm": "map - random", **spread(gains), "better in": f"{wins} of {len(gains)}"}


def spread(values: list[float]) -> dict[str, object]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"iou": f"{np.mean(values):.4f} ± {deviation:.4f}", "seeds": len(values)}


def report(path: Path | None, row: dict[str, object]) -> None:
    line = json.dumps(row, ensure_ascii=False)
    print(line, flush=True)
    if path is not None:
        with path.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
