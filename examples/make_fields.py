"""Make fields of cells that look like phase contrast: a bright halo around a textured body as grey as the background.

    python examples/make_fields.py --out FOLDER [--fields 8] [--side 512]

FOLDER gets ``images/`` and ``labels/``, as training, `evaluate` and ``correct_and_finetune.py`` take them. No model of
this package was trained on such cells: something to correct.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

CELLS_PER_MEGAPIXEL = 110


def main() -> None:
    """Write the fields."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for part in ("images", "labels"):
        (options.out / part).mkdir(parents=True, exist_ok=True)
    for number in range(options.fields):
        image, labels = make_field(options.side, np.random.default_rng([options.seed, number]))
        tifffile.imwrite(options.out / "images" / f"field{number:02d}.tif", image)
        tifffile.imwrite(options.out / "labels" / f"field{number:02d}.tif", labels)


def make_field(side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return an image, uint8, and its labels, uint16, of (side, side)."""
    labels = np.zeros((side, side), np.uint16)
    rows, columns = np.mgrid[:side, :side]
    for number in range(1, round(CELLS_PER_MEGAPIXEL * side**2 / 1e6) + 1):
        centre = random.uniform(0, side, 2)
        long, short = random.uniform(22, 40), random.uniform(12, 22)
        angle = random.uniform(0, np.pi)
        along = (rows - centre[0]) * np.sin(angle) + (columns - centre[1]) * np.cos(angle)
        across = (rows - centre[0]) * np.cos(angle) - (columns - centre[1]) * np.sin(angle)
        bend = 0.25 * short * np.sin(along / long * 2.5)
        inside = (along / long) ** 2 + ((across + bend) / short) ** 2 < 1
        if not labels[inside].any():
            labels[inside] = number
    cells = labels > 0
    outside = ndimage.distance_transform_edt(~cells)
    depth = ndimage.distance_transform_edt(cells)
    halo = 70 * np.exp(-((outside - 2.5) ** 2) / 6) * ~cells
    rim = -35 * np.exp(-((depth - 1.5) ** 2) / 5) * cells
    texture = ndimage.gaussian_filter(random.standard_normal((side, side)), 2.0) * 90 * cells
    shading = ndimage.gaussian_filter(random.standard_normal((side, side)), 120)
    image = 110 + halo + rim + texture + 900 * shading + random.normal(0, 5, (side, side))
    return ndimage.gaussian_filter(image, 0.7).clip(0, 255).astype(np.uint8), labels


if __name__ == "__main__":
    main()
