"""What half precision changes: classes of pixels and scores, on the images that a model's training held out.

    python benchmarks/accuracy/half_precision.py MODEL DATASET... [--precision bf16] [--every N] [--levels 1,2,3,4]

The split is that of ``held_out.py``: whole image groups are held out, with the data sets, seed and fraction of the
training. Classes are compared over all pixels of all images; scores are means over the images (of one longer than 1024
pixels its middle), as in training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari_seamless as ns
from napari_seamless.inference.fidelity import fidelity_test
from napari_seamless.training.dataset import open_datasets
from napari_seamless.training.score_fidelity import score_fidelity
from napari_seamless.training.split import split_by_group

ALL_PIXELS = 2**62


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model's name or path")
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fraction", type=float, default=0.15)
    parser.add_argument("--every", type=int, default=1, help="look at every Nth image only")
    parser.add_argument("--levels", help="separated by commas; by default the one that auto takes")
    options = parser.parse_args()
    model = ns.load_model(options.model)
    _, held_out = split_by_group(open_datasets(options.datasets), options.fraction, options.seed)
    levels = [int(level) for level in options.levels.split(",")] if options.levels else [model.auto_level]
    print(
        "| set | images | level | same class | score | change | AP mean | change |\n|---|---|---|---|---|---|---|---|"
    )
    for name in sorted({example.dataset for example in held_out}):
        examples = [example for example in held_out if example.dataset == name][:: options.every]
        for level in levels:
            print(row(name, model, examples, level, options.precision), flush=True)


def row(name: str, model: ns.Model, examples: list[ns.Example], level: int, precision: str) -> str:
    """Return a row of the table: one data set at one level."""
    compared = [fidelity_test(model, one.image, level=level, precision=precision) for one in examples]
    pixels = [one.labels.size for one in examples]
    agreement = sum(one.agreement * size for one, size in zip(compared, pixels, strict=True)) / sum(pixels)
    found = score_fidelity(model, examples, level=level, precision=precision, max_pixels=ALL_PIXELS)
    cells = [name, str(len(examples)), str(level), f"{agreement:.3%}"]
    for score in ("score", "ap_mean") if "ap_mean" in found.wide else ("score", "dice"):
        cells += [f"{found.wide[score]:.4f}", f"{found.changes[score]:+.4f}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
