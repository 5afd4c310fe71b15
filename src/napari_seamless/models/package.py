"""A model on disk: a folder or a zip with ``model.json`` and ``weights.safetensors``, and nothing that is executed.

``model.json`` carries the SHA-256 of the weights, and of ``examples.safetensors`` where the model remembers examples. A
hash that does not match, an unknown key, or a newer format version is refused before anything of it is used.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from napari_seamless.errors import (
    ChannelError,
    ConfigError,
    FileWriteError,
    ModelError,
    OutputExistsError,
    SeamlessError,
)
from napari_seamless.images.publish import publish, temporary_name
from napari_seamless.models.manifest import FORMAT_VERSION, Manifest, network_config, read_manifest
from napari_seamless.models.members import (
    EXAMPLES_NAME,
    MANIFEST_NAME,
    MAX_WEIGHTS_BYTES,
    WEIGHTS_NAME,
    check_member,
    is_package,
)
from napari_seamless.models.model import Model
from napari_seamless.models.remembered import read_examples, write_examples
from napari_seamless.models.stored_weights import read_weights

WeightType = Literal["float32", "float16"]


def read_package(path: str | Path) -> Model:
    """Read a model from a folder or zip.

    The weights' hash is checked now, the weights are loaded when the network is first used, and remembered examples
    when they are asked for.

    Raises
    ------
    ModelError
        If anything is missing, damaged, altered, unknown or newer than this program.
    """
    path = Path(path)
    manifest = read_manifest(path)
    model = described_model(path, manifest)
    check_member(path, WEIGHTS_NAME, MAX_WEIGHTS_BYTES, manifest.weights_sha256)
    return model


def described_model(path: Path, manifest: Manifest) -> Model:
    """Return the model that a manifest describes; its weights at `path` have not been looked at.

    Raises
    ------
    ModelError
        If the manifest contradicts itself.
    """
    examples = manifest.examples
    try:
        model = Model(
            name=manifest.name,
            config=network_config(path, manifest),
            task=manifest.task,
            classes=manifest.classes,
            normalization=manifest.normalization,
            input_kind=manifest.input_kind,
            instance_rule=manifest.instance_rule,
            card=manifest.card,
            load_weights=partial(read_weights, path),
            voxel_size_um=manifest.voxel_size_um,
            parent=manifest.parent,
            price_list=manifest.price_list,
        )
    except (ConfigError, ChannelError) as error:
        raise ModelError(f"{path}: {MANIFEST_NAME} does not describe a model: {error}") from error
    if examples is None:
        return model
    return replace(model, n_examples=len(examples.patches), load_examples=partial(read_examples, path, examples))


def check_model_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a place that `save_model` would refuse; worth asking before a long training.

    Raises
    ------
    OutputExistsError
        If `path` exists and may not be overwritten, or is something else than a model.
    """
    if path.exists() and not (overwrite and is_package(path)):
        remedy = "choose another name" if not is_package(path) else "choose another name or allow overwriting"
        raise OutputExistsError(f"{path} exists already: {remedy}")


def save_model(model: Model, path: str | Path, *, weight_type: WeightType = "float32", overwrite: bool = False) -> Path:
    """Write a model as a folder, or as one file if `path` ends in ``.zip``.

    Everything is written under a temporary name beside `path` and renamed, so that `path` is always whole.

    Parameters
    ----------
    model : Model
        What it remembers of its training is written too; `model.with_examples(())` has none.
    path : path
    weight_type : {"float32", "float16"}
        How weights are stored; they are computed with in float32 in any case.
    overwrite : bool
        Replace an existing model.

    Raises
    ------
    OutputExistsError
        If `path` exists and may not be overwritten, or is something else than a model.
    FileWriteError
        If it cannot be written.
    ModelError
        If the examples that the model remembers cannot be read where they are.
    """
    path = Path(path)
    with staged_package(path, overwrite=overwrite) as folder:
        weights = _weights_file(model, weight_type)
        (folder / WEIGHTS_NAME).write_bytes(weights)
        examples = model.load_examples()
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            name=model.name,
            network=model.config.as_dict(),
            task=model.task,
            classes=model.classes,
            normalization=model.normalization,
            input_kind=model.input_kind,
            instance_rule=model.instance_rule,
            voxel_size_um=model.voxel_size_um,
            parent=model.parent,
            card=model.card,
            price_list=model.price_list,
            examples=write_examples(examples, folder / EXAMPLES_NAME) if examples else None,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
        )
        (folder / MANIFEST_NAME).write_text(manifest.as_json(), encoding="utf-8")
    return path


@contextmanager
def staged_package(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a folder to fill with a package's files, which then becomes `path`: whole, or not at all.

    Raises
    ------
    OutputExistsError, FileWriteError
        As `save_model`.
    """
    check_model_output(path, overwrite=overwrite)
    folder = temporary_name(path, "partial")
    archive = folder.with_name(folder.name + ".zip")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        yield folder
        if path.suffix == ".zip":
            _zip(folder, archive)
        publish(archive if path.suffix == ".zip" else folder, path, overwrite)
    except SeamlessError:
        raise
    except OSError as error:
        raise FileWriteError(f"cannot write the model to {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        archive.unlink(missing_ok=True)


def _weights_file(model: Model, weight_type: WeightType) -> bytes:
    import torch
    from safetensors.torch import save

    stored = {"float32": torch.float32, "float16": torch.float16}[weight_type]
    tensors = {
        name: (tensor.to(stored) if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in model.load_weights().items()
    }
    return save(tensors)


def _zip(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in (MANIFEST_NAME, WEIGHTS_NAME, EXAMPLES_NAME):
            if (folder / name).exists():
                file.write(folder / name, name)
