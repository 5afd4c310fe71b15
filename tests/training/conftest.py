"""Small annotated data sets, made in code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seamless.images.image import Image
from napari_seamless.training.examples import Example


def discs(seed: int, shape: tuple[int, ...] = (64, 64), n_objects: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of bright round objects on dark ground, and its labels."""
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    for number in range(1, n_objects + 1):
        centre = [random.uniform(0, side) for side in shape]
        radius = random.uniform(4, 8)
        distance = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)))
        labels[(distance < radius) & (labels == 0)] = number
    image = 200 * (labels > 0) + random.normal(50, 10, shape)
    return image.clip(0, 255).astype(np.uint8), labels


def example(seed: int, shape: tuple[int, ...] = (64, 64), **changes: object) -> Example:
    """Return one annotated image."""
    image, labels = discs(seed, shape)
    values = {
        "name": f"image {seed}",
        "group": f"group {seed}",
        "image": Image.from_array(image, "ZYX"[-len(shape) :]),
        "labels": labels,
        "dataset": "discs",
    }
    return Example(**{**values, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of four images on disk."""
    for part in ("images", "labels"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for number in range(4):
        image, labels = discs(number)
        tifffile.imwrite(tmp_path / "set" / "images" / f"field{number}.tif", image)
        tifffile.imwrite(tmp_path / "set" / "labels" / f"field{number}.tif", labels)
    return tmp_path / "set"
