"""Packages for tests: a small model that remembers examples, and ways to spoil what is on disk."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_seamless.images.intensity import IntensityRange
from napari_seamless.models.model import Model, create_model
from napari_seamless.models.package import save_model
from napari_seamless.models.remembered import RememberedPatch
from napari_seamless.networks.config import NetworkConfig

CONFIG = NetworkConfig(architecture="unetpp", features=(2, 3, 4))


def patch(number: int = 0, **changes: object) -> RememberedPatch:
    """A 2D grey patch with 3 objects, half of it verified."""
    random = np.random.default_rng(number)
    values: dict[str, object] = {
        "name": f"cells.tif Z 3 {number}",
        "dataset": "cells",
        "role": "train",
        "axes": "YX",
        "pixels": random.integers(0, 60_000, (12, 9)).astype(np.uint16),
        "labels": random.integers(0, 4, (12, 9)).astype(np.uint32),
        "verified": random.random((12, 9)) < 0.5,
        "voxel_size_um": (0.5, 0.25),
        "intensity": IntensityRange((10.5,), (50_000.0,), "all pixels"),
    }
    return RememberedPatch(**{**values, **changes})  # type: ignore[arg-type]


def remembering_model(n_patches: int = 2, **settings: object) -> Model:
    """An untrained model that remembers patches."""
    model = create_model(CONFIG, seed=5, **{"name": "tiny", **settings})  # type: ignore[arg-type]
    return model.with_examples([patch(number) for number in range(n_patches)])


def save_both(model: Model, folder: Path) -> tuple[Path, Path]:
    """The model as a folder and as a zip."""
    return save_model(model, folder / "model"), save_model(model, folder / "model.zip")


def edit_manifest(package: Path, change: Callable[[dict], None]) -> None:
    """Change ``model.json`` of a folder."""
    manifest = package / "model.json"
    values = json.loads(manifest.read_text())
    change(values)
    manifest.write_text(json.dumps(values))


def zip_of(folder: Path, archive: Path, *, inside: str = "", **replaced: bytes) -> Path:
    """Zip a folder's files, as an archiver would; ``weights=b"..."`` replaces the content of that file."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.iterdir()):
            file.writestr(inside + path.name, replaced.get(path.stem, path.read_bytes()))
    return archive
