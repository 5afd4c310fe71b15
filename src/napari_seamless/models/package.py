"""A model on disk: a folder or a zip with ``model.json`` and ``weights.safetensors``, and nothing that is executed.

``model.json`` carries the SHA-256 of the weights. A hash that does not match, an unknown key, or a newer format
version is refused before any weight is used.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_seamless.errors import ConfigError, FileWriteError, ModelError, OutputExistsError
from napari_seamless.images.intensity import Normalization
from napari_seamless.models.card import ModelCard
from napari_seamless.models.model import InputKind, Model, Task
from napari_seamless.models.price_list import PriceList, check_prices
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.objects.instances import InstanceRule

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 2
"""The newest format that can be read. Version 2 brought price lists; what needs none of it is written as version 1."""

MANIFEST_NAME = "model.json"
WEIGHTS_NAME = "weights.safetensors"
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_WEIGHTS_BYTES = 8 * 2**30

WeightType = Literal["float32", "float16"]


class Manifest(BaseModel):
    """The content of ``model.json``; see `napari_seamless.models.model.Model` for the meaning of each field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int
    name: str
    network: dict[str, Any]
    task: Task
    classes: tuple[str, ...]
    normalization: Normalization
    input_kind: InputKind
    instance_rule: InstanceRule | None = None
    voxel_size_um: tuple[float, ...] | None = None
    parent: str | None = None
    card: ModelCard = ModelCard()
    price_list: PriceList = ()
    weights_sha256: str


def is_package(path: Path) -> bool:
    """Whether `path` looks like a model: a folder with ``model.json``, or a zip."""
    return (path / MANIFEST_NAME).is_file() or (path.suffix == ".zip" and path.is_file())


def read_manifest(path: Path) -> Manifest:
    """Read and check ``model.json``; no weights are read.

    Raises
    ------
    ModelError
        If it is missing, damaged, has unknown keys, or was written by a newer version.
    """
    import json

    try:
        values = json.loads(_read_member(path, MANIFEST_NAME, MAX_MANIFEST_BYTES))
    except ValueError as error:
        raise ModelError(f"{path}: {MANIFEST_NAME} is not valid JSON ({error}): fetch the model again") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelError(
            f"{path}: the model has format version {version}, this program reads up to {FORMAT_VERSION}: "
            "update napari-seamless"
        )
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise ModelError(
            f"{path}: {MANIFEST_NAME} does not describe a model ({found}): fetch the model again"
        ) from None


def network_config(path: Path, manifest: Manifest) -> NetworkConfig:
    """Return the network that a manifest describes.

    Raises
    ------
    ModelError
        If it describes none, or prices levels that the network does not have; `path` is named.
    """
    try:
        config = NetworkConfig.from_dict(_with_tuples(manifest.network))
        check_prices(manifest.price_list, config)
    except (ConfigError, TypeError) as error:
        raise ModelError(f"{path}: {MANIFEST_NAME} does not describe a model: {error}") from error
    return config


def read_package(path: str | Path) -> Model:
    """Read a model from a folder or zip.

    The weights' hash is checked now, the weights are loaded when the network is first used.

    Raises
    ------
    ModelError
        If anything is missing, damaged, altered, unknown or newer than this program.
    """
    path = Path(path)
    manifest = read_manifest(path)
    found = _sha256(path)
    if found != manifest.weights_sha256:
        raise ModelError(
            f"{path}: {WEIGHTS_NAME} has SHA-256 {found[:12]}…, but {MANIFEST_NAME} says "
            f"{manifest.weights_sha256[:12]}…: the file was altered or damaged, fetch the model again"
        )
    try:
        return Model(
            name=manifest.name,
            config=network_config(path, manifest),
            task=manifest.task,
            classes=manifest.classes,
            normalization=manifest.normalization,
            input_kind=manifest.input_kind,
            instance_rule=manifest.instance_rule,
            card=manifest.card,
            load_weights=lambda: _read_weights(path),
            voxel_size_um=manifest.voxel_size_um,
            parent=manifest.parent,
            price_list=manifest.price_list,
        )
    except ConfigError as error:
        raise ModelError(f"{path}: {MANIFEST_NAME} does not describe a model: {error}") from error


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
    """
    path = Path(path)
    check_model_output(path, overwrite=overwrite)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.mkdir()
        _write_members(model, staged, weight_type)
        if path.suffix == ".zip":
            staged = _zipped(staged)
        _put_in_place(staged, path)
    except OSError as error:
        raise FileWriteError(f"cannot write the model to {path}: {error.strerror or error}") from error
    finally:
        _remove(staged)
    return path


def _write_members(model: Model, folder: Path, weight_type: WeightType) -> None:
    weights = folder / WEIGHTS_NAME
    _write_weights(model, weights, weight_type)
    manifest = Manifest(
        format_version=FORMAT_VERSION if model.price_list else 1,
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
        weights_sha256=_sha256(folder),
    )
    described = folder / MANIFEST_NAME
    unused = None if manifest.price_list else {"price_list"}  # which version 1 does not know
    described.write_text(manifest.model_dump_json(indent=2, exclude=unused) + "\n", encoding="utf-8")
    # safetensors writes files for their owner alone; a model is as readable as any other file of the user.
    (folder / WEIGHTS_NAME).chmod(described.stat().st_mode)


def _write_weights(model: Model, path: Path, weight_type: WeightType) -> None:
    import torch
    from safetensors.torch import save_file

    stored = {"float32": torch.float32, "float16": torch.float16}[weight_type]
    tensors = {
        name: (tensor.to(stored) if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in model.load_weights().items()
    }
    save_file(tensors, path)


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load, load_file

    try:
        if path.is_dir():
            return load_file(path / WEIGHTS_NAME)
        return load(_read_member(path, WEIGHTS_NAME, MAX_WEIGHTS_BYTES))
    except SafetensorError as error:
        raise ModelError(
            f"{path}: {WEIGHTS_NAME} is not a safetensors file ({error}): fetch the model again"
        ) from error


def _read_member(path: Path, name: str, limit: int) -> bytes:
    """Read one file of a package by its exact name; other members are never looked at, nothing is extracted."""
    try:
        if path.is_dir():
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(name).file_size
            if size > limit:
                raise ModelError(f"{path}: {name} has {size} bytes, more than the {limit} allowed: not a model")
            with archive.open(name) as member:
                return member.read(limit)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path} is not a model: it needs {MANIFEST_NAME} and {WEIGHTS_NAME}, in a folder or a zip ({error})"
        ) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    if not path.is_dir():
        digest.update(_read_member(path, WEIGHTS_NAME, MAX_WEIGHTS_BYTES))
        return digest.hexdigest()
    try:
        with (path / WEIGHTS_NAME).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} is not a model: {WEIGHTS_NAME} cannot be read ({error.strerror})") from error


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where the configuration has tuples."""

    def freeze(value: Any) -> Any:
        return tuple(freeze(entry) for entry in value) if isinstance(value, list) else value

    return {key: freeze(value) for key, value in values.items()}


def _zipped(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in (MANIFEST_NAME, WEIGHTS_NAME):
            file.write(folder / name, name)
    shutil.rmtree(folder)
    return archive


def _put_in_place(staged: Path, path: Path) -> None:
    """Rename; an older model is moved aside first and removed only when the new one is in place."""
    if not path.exists():
        staged.rename(path)
        return
    if path.is_file() and staged.is_file():
        os.replace(staged, path)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    path.rename(old)
    staged.rename(path)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
