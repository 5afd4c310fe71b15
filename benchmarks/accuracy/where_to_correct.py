"""Whether correcting where the model is unsure teaches it more than correcting anywhere.

    python benchmarks/accuracy/where_to_correct.py usiigaci_phase/train isbi2012_em --seeds 0 1 2 3 4 --steps 60

A person is simulated with the ground truth. Five times (``--fields``) they correct one field of 256 x 256 pixels,
chosen by the uncertainty map of the model that they have by then (``map``: what "Next" in the Correct panel does) or
anywhere (``random``), and fine-tune that model for ``--steps`` on all fields so far. Told after every field are
two IoUs of the foreground:

- ``stack``: of the images that are worked on, with the corrected fields as the person left them. This is what the
  person has in the end, and why fields that hold many mistakes are worth more than others.
- ``untouched``: of images that neither arm has touched: what the model has learned.

A seed chooses the images, the random fields and the patches; both arms of a seed share all else.

- A folder with ``images/`` and ``labels/``: ``--model`` is fine-tuned; a seed sets six images aside for ``untouched``,
  and offers six others for correction.
- A stack (``images.tif`` and ``labels.tif``, classes): a first model is trained for ``--first-steps`` on slice 0;
  fields are offered in slices 1 to 17, and slices 18 to 23 are ``untouched``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import numpy as np
import tifffile

import napari_seamless as ns
from napari_seamless.images.boxes import Box, as_slices, intersection
from napari_seamless.inference.uncertainty_map import predict_uncertainty
from napari_seamless.training.dataset import open_dataset
from napari_seamless.training.options import TrainingOptions
from napari_seamless.workspace.next_place import FIELD_SIDE, Suggestion, rank_fields

N_IMAGES = 6
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
    untouched : list of (pixels, labels)
        Planes that are only scored.
    """

    model: ns.Model
    axes: str
    pool: list[Image]
    untouched: list[Image]


@dataclass
class Work:
    """How far a simulated person has come.

    Attributes
    ----------
    task : Task
    model : Model
        As it is now.
    verified : list of ndarray, bool
        For each image of the pool, what was corrected.
    random : numpy.random.Generator
        What the arms without a map choose by.
    fields : list of (int, Box)
        What was corrected, in this order.
    """

    task: Task
    model: ns.Model
    verified: list[np.ndarray]
    random: np.random.Generator
    fields: list[Field]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--fields", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="of each fine-tuning")
    parser.add_argument("--first-steps", type=int, default=240, help="of the first model, where there is none")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--model", default="nuclei-2d", help="the first model for a folder of images")
    parser.add_argument("--json", type=Path, default=None, help="append each row to this file")
    options = parser.parse_args()
    rows = []
    for folder in options.folders:
        for seed in options.seeds:
            task = open_task(folder, seed, options)
            facts = {"data": folder.parent.name if folder.name == "train" else folder.name, "seed": seed}
            for arm in options.arms:
                row = {**facts, "arm": arm, "steps": options.steps}
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


def field_by_map(work: Work) -> Field:
    """Return what "Next" leads to, over all images of the pool."""
    best: list[tuple[float, int, Box]] = []
    for index, ((pixels, _), verified) in enumerate(zip(work.task.pool, work.verified, strict=True)):
        uncertainty = predict_uncertainty(pixels, work.model, axes=work.task.axes)
        best += [(-found.uncertainty, index, found.box) for found in _first(uncertainty, verified, work.task.axes)]
    _, index, box = min(best)
    return index, box


def _first(uncertainty: np.ndarray, verified: np.ndarray, axes: str) -> Iterator[Suggestion]:
    return islice(rank_fields(uncertainty, verified, axes), 1)


def field_at_random(work: Work) -> Field:
    """Return a field that shares no pixel with earlier ones."""
    while True:
        index = int(work.random.integers(len(work.task.pool)))
        shape = work.task.pool[index][1].shape
        sides = [1] * (len(shape) - 2) + [min(FIELD_SIDE, length) for length in shape[-2:]]
        starts = [int(work.random.integers(length - side + 1)) for length, side in zip(shape, sides, strict=True)]
        box = tuple((start, start + side) for start, side in zip(starts, sides, strict=True))
        if not any(other == index and intersection(box, place) for other, place in work.fields):
            return index, box


SCORES = ("stack", "untouched")
ARMS = {"map": field_by_map, "random": field_at_random}


def correct_and_finetune(task: Task, arm: str, seed: int, options: argparse.Namespace) -> dict[str, object]:
    """Correct field after field, fine-tuning after each, and return the scores after each, the first before any."""
    began = time.perf_counter()
    verified = [np.zeros(labels.shape, bool) for _, labels in task.pool]
    work = Work(task, task.model, verified, np.random.default_rng([seed, 7]), [])
    scores = [score(work)]
    for number in range(options.fields):
        index, box = ARMS[arm](work)
        work.fields.append((index, box))
        work.verified[index][as_slices(box)] = True
        examples = [
            ns.Example(*image, mask, axes=task.axes, name=f"image {place}")
            for place, (image, mask) in enumerate(zip(task.pool, work.verified, strict=True))
            if mask.any()
        ]
        child = ns.finetune(work.model, examples, steps=options.steps, seed=100 * seed + number, price=False)
        work.model = child.model
        scores.append(score(work))
    truth = np.concatenate([task.pool[index][1][as_slices(box)].ravel() > 0 for index, box in work.fields])
    return {
        **{name: [after[name] for after in scores] for name in scores[0]},
        "foreground": round(float(truth.mean()), 3),
        "fields": [[index, *(start for start, _ in box)] for index, box in work.fields],
        "seconds": round(time.perf_counter() - began, 1),
    }


def score(work: Work) -> dict[str, float]:
    """Return the IoU of the foreground over all pixels, for the images that are worked on and the untouched ones."""
    axes = work.task.axes
    worked_on = [
        (np.where(verified, labels, np.asarray(ns.segment(pixels, work.model, axes=axes))), labels)
        for (pixels, labels), verified in zip(work.task.pool, work.verified, strict=True)
    ]
    untouched = [
        (np.asarray(ns.segment(pixels, work.model, axes="YX")), labels) for pixels, labels in work.task.untouched
    ]
    return {"stack": pooled_iou(worked_on), "untouched": pooled_iou(untouched)}


def pooled_iou(pairs: list[Image]) -> float:
    """Return the IoU of the foreground of (found, true) labels, all pixels together."""
    shared = sum(int(np.sum((found > 0) & (truth > 0))) for found, truth in pairs)
    either = sum(int(np.sum((found > 0) | (truth > 0))) for found, truth in pairs)
    return round(shared / max(either, 1), 4)


def summary(rows: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    """Yield mean and standard deviation over the seeds: of each arm, and of the difference within each seed."""
    for data, name in product(dict.fromkeys(str(row["data"]) for row in rows), SCORES):
        last: dict[str, dict[object, float]] = defaultdict(dict)
        for row in rows:
            if row["data"] == data:
                last[str(row["arm"])][row["seed"]] = row[name][-1]  # type: ignore[index]
        for arm, found in last.items():
            yield {"data": data, "score": name, "arm": arm, **spread(list(found.values()))}
        gains = [last["map"][seed] - last["random"][seed] for seed in last["map"] if seed in last["random"]]
        if gains:
            wins = f"{sum(gain > 0 for gain in gains)} of {len(gains)}"
            yield {"data": data, "score": name, "arm": "map - random", **spread(gains), "better in": wins}


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
