"""Where models are found by name: those that come with the package, then the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_seamless.errors import FileWriteError, ModelError
from napari_seamless.images.publish import publish, temporary_name
from napari_seamless.models.manifest import network_config, read_manifest
from napari_seamless.models.members import is_package, package_name
from napari_seamless.models.model import InputKind, Model, Task
from napari_seamless.models.package import read_package
from napari_seamless.models.price_list import PriceList, auto_level
from napari_seamless.networks.config import NetworkConfig

BUNDLED_MODELS = Path(__file__).parent / "weights"
LIBRARY_VARIABLE = "NAPARI_SEAMLESS_MODELS"
FIRST_DEFAULT = "nuclei-2d"
"""What is used when nobody has said what to use."""

_DEFAULT_FILE = "default.json"


@dataclass(frozen=True)
class ModelSummary:
    """What a list of models shows; read without loading weights.

    Attributes
    ----------
    name : str
        What `load_model` takes.
    description : str
        One line from the model's card, or why the model cannot be used.
    path : Path
    bundled : bool
        Whether it comes with the package.
    usable : bool
        False if its ``model.json`` cannot be read; the fields below are then None or empty.
    is_default : bool
        Whether it is used where no model is named.
    config, task, input_kind, price_list, n_examples
        See `napari_seamless.models.model.Model`.
    """

    name: str
    description: str
    path: Path
    bundled: bool
    usable: bool = True
    is_default: bool = False
    config: NetworkConfig | None = None
    task: Task | None = None
    input_kind: InputKind | None = None
    price_list: PriceList = ()
    n_examples: int = 0

    @property
    def auto_level(self) -> int | None:
        """The level that ``level="auto"`` means."""
        return None if self.config is None else auto_level(self.price_list, self.config)


def library_folder() -> Path:
    """Return the folder of the user's own models; the environment variable NAPARI_SEAMLESS_MODELS can move it."""
    from platformdirs import user_data_path

    chosen = os.environ.get(LIBRARY_VARIABLE)
    return Path(chosen) if chosen else user_data_path("napari-seamless", appauthor=False) / "models"


def list_models() -> list[ModelSummary]:
    """Return every bundled model and every model of the user, by name; a damaged one is listed with the reason."""
    try:
        default = default_model()
    except ModelError:
        default = ""  # what is wrong is said where the default is asked for
    return [replace(_summary(path, bundled), is_default=package_name(path) == default) for path, bundled in _packages()]


def summarise_model(path: Path) -> ModelSummary:
    """Return the summary of a package that need not be in the library; a damaged one comes with the reason."""
    return _summary(path, bundled=False)


def load_model(name_or_path: str | Path) -> Model:
    """Return a model by its name, or from a folder or zip.

    Raises
    ------
    ModelError
        If there is no such model, or it is damaged, altered, or of a newer format; the message lists the names
        there are.
    """
    return read_package(find_model(name_or_path))


def find_model(name_or_path: str | Path) -> Path:
    """Return where a model is, by its name or path.

    Raises
    ------
    ModelError
        If there is no such model; the message lists the names there are.
    """
    path = Path(name_or_path)
    if is_package(path):
        return path
    for package, _ in _packages():
        if package_name(package) == str(name_or_path):
            return package
    if path.exists():
        return path  # reading it says what is missing
    names = ", ".join(summary.name for summary in list_models()) or "none"
    raise ModelError(f"no model called {str(name_or_path)!r}: give a path, or one of these names: {names}")


def bundled_names() -> frozenset[str]:
    """Return the names of the models that come with the package."""
    return frozenset(package_name(path) for path, bundled in _packages() if bundled)


def default_model() -> str:
    """Return the name of the model to use where none is named: the user's choice, at first `FIRST_DEFAULT`.

    Raises
    ------
    ModelError
        If the file that holds the choice is damaged.
    """
    path = library_folder() / _DEFAULT_FILE
    try:
        return _Default.model_validate_json(path.read_bytes()).default
    except FileNotFoundError:
        return FIRST_DEFAULT
    except (OSError, ValidationError) as error:
        raise ModelError(
            f"{path} does not say which model is the default ({_first_line(error)}): choose one anew with "
            "`napari-seamless models default MODEL`"
        ) from error


def set_default_model(name: str) -> None:
    """Choose the model to use where none is named.

    Parameters
    ----------
    name : str
        Of a bundled model, or of one in the user's library.

    Raises
    ------
    ModelError
        If there is no such model, or it cannot be used.
    FileWriteError
        If the choice cannot be kept.
    """
    names = {summary.name: summary for summary in list_models()}
    if name not in names:
        raise ModelError(f"no model called {name!r}: the default is one of {', '.join(names)}; import others first")
    if not names[name].usable:
        raise ModelError(f"model {name!r} {names[name].description}")
    path = library_folder() / _DEFAULT_FILE
    staged = temporary_name(path, "partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(_Default(default=name).model_dump_json(indent=2) + "\n", encoding="utf-8")
        publish(staged, path, overwrite=True)
    except OSError as error:
        raise FileWriteError(f"{path} cannot be written ({error.strerror or error}): make room or allow it") from error
    finally:
        staged.unlink(missing_ok=True)


class _Default(BaseModel):
    """The content of ``default.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    default: str


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _packages() -> Iterator[tuple[Path, bool]]:
    for folder, bundled in ((BUNDLED_MODELS, True), (library_folder(), False)):
        if folder.is_dir():
            yield from ((path, bundled) for path in sorted(folder.iterdir()) if _is_listed(path))


def _is_listed(path: Path) -> bool:
    """Whether a path is a model, and not one that is just being written or lies in the trash."""
    return is_package(path) and not path.name.startswith(".")


def _summary(path: Path, bundled: bool) -> ModelSummary:
    try:
        manifest = read_manifest(path)
        config = network_config(path, manifest)
    except ModelError as error:
        return ModelSummary(package_name(path), f"cannot be used: {error}", path, bundled, usable=False)
    return ModelSummary(
        name=package_name(path),
        description=manifest.card.description,
        path=path,
        bundled=bundled,
        config=config,
        task=manifest.task,
        input_kind=manifest.input_kind,
        price_list=manifest.price_list,
        n_examples=0 if manifest.examples is None else len(manifest.examples.patches),
    )
