"""``model.json``: what a package says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_seamless.errors import ConfigError, ModelError
from napari_seamless.images.intensity import Normalization
from napari_seamless.models.card import ModelCard
from napari_seamless.models.members import MANIFEST_NAME, MAX_MANIFEST_BYTES, read_member
from napari_seamless.models.model import InputKind, Task
from napari_seamless.models.price_list import PriceList, check_prices
from napari_seamless.models.remembered import MAX_PATCHES, ExamplesRecord
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.objects.instances import InstanceRule

FORMAT_VERSION = 2
"""The newest format that can be read.

Version 2 brought price lists and remembered examples; a model that has neither is written as version 1.
"""


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
    examples: ExamplesRecord | None = None
    weights_sha256: str

    def as_json(self) -> str:
        """Return the text of ``model.json``, in the oldest format version that can hold it."""
        new_keys = {name for name in ("price_list", "examples") if not getattr(self, name)}
        versioned = self.model_copy(update={"format_version": 1 if len(new_keys) == 2 else 2})
        return versioned.model_dump_json(indent=2, exclude=new_keys) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read and check ``model.json``; no weights are read.

    Raises
    ------
    ModelError
        If it is missing, damaged, has unknown keys, or was written by a newer version.
    """
    content = read_member(path, MANIFEST_NAME, MAX_MANIFEST_BYTES)
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: {MANIFEST_NAME} is not valid JSON ({error}): fetch the model again") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelError(
            f"{path}: the model has format version {version}, this program reads up to {FORMAT_VERSION}: "
            "update napari-seamless"
        )
    try:
        return Manifest.model_validate(values)
    except (ValidationError, ConfigError) as error:
        raise ModelError(
            f"{path}: {MANIFEST_NAME} does not describe a model ({_found(error)}): fetch the model again"
        ) from None


def network_config(path: Path, manifest: Manifest) -> NetworkConfig:
    """Return the network that a manifest describes.

    Raises
    ------
    ModelError
        If it describes none, prices levels that the network does not have, or lists too many examples; `path` is
        named.
    """
    try:
        config = NetworkConfig.from_dict(_with_tuples(manifest.network))
        check_prices(manifest.price_list, config)
    except (ConfigError, TypeError) as error:
        raise ModelError(f"{path}: {MANIFEST_NAME} does not describe a model: {error}") from error
    if manifest.examples is not None and len(manifest.examples.patches) > MAX_PATCHES:
        raise ModelError(f"{path}: {MANIFEST_NAME} lists more than {MAX_PATCHES} examples: fetch the model again")
    return config


def _found(error: ValidationError | ConfigError) -> str:
    if isinstance(error, ConfigError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where the configuration has tuples."""

    def freeze(value: Any) -> Any:
        return tuple(freeze(entry) for entry in value) if isinstance(value, list) else value

    return {key: freeze(value) for key, value in values.items()}
