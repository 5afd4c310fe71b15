"""Measure what each level of a model is worth and costs, on the images that its training held out.

    python benchmarks/accuracy/price_list.py MODEL DATASET... [--seed 0] [--fraction 0.15] [--every N] [--device auto]
                                             [--precision auto] [--write]

The split is that of ``held_out.py``: whole image groups are held out, with the data sets, seed and fraction of the
training. A score is the mean over all images that were held out (of one longer than 1024 pixels its middle); the time
is measured beside, so run it on a machine that does nothing else. ``--write`` stores the list in the model's package,
where ``level="auto"`` and ``napari-seamless models info`` find it; the weights stay as they are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import napari_seamless as ns
from napari_seamless.models.copying import copy_package
from napari_seamless.models.library import find_model
from napari_seamless.models.price_list import PriceList, auto_level
from napari_seamless.training.dataset import open_datasets
from napari_seamless.training.planes import annotated_planes
from napari_seamless.training.pricing import price_levels
from napari_seamless.training.split import split_by_group
from napari_seamless.training.validation import choose_for_validation

ALL_PIXELS = 2**62


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model's name or path")
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fraction", type=float, default=0.15)
    parser.add_argument("--every", type=int, default=1, help="look at every Nth image only")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--write", action="store_true", help="store the list in the model's package")
    options = parser.parse_args()
    package = find_model(options.model)
    model = ns.load_model(package)
    _, held_out = split_by_group(open_datasets(options.datasets), options.fraction, options.seed)
    planes = [
        plane
        for example in held_out[:: options.every]
        for plane in annotated_planes(example, model.config.spatial_dims)
    ]
    began = time.perf_counter()
    prices = price_levels(model, choose_for_validation(planes, model, ALL_PIXELS), options.device, options.precision)
    print(f"{len(held_out[:: options.every])} images, {time.perf_counter() - began:.0f} s")
    report(prices, auto_level(prices, model.config))
    if options.write:
        copy_package(package, package, overwrite=True, price_list=prices)
        print(f"stored in {package}")


def report(prices: PriceList, taken: int) -> None:
    print("level  score  ms/Mpx  parameters")
    for price in prices:
        mark = "  <- auto" if price.level == taken else ""
        print(f"{price.level:5} {price.score:6.4f} {price.ms_per_megapixel:7.0f} {price.parameters:11,}{mark}")
    first = prices[0]
    print(f"on {first.device} in {first.precision}" + (f", {first.threads} threads" if first.threads else ""))


if __name__ == "__main__":
    main()
