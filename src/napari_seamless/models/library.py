"""Where models are found by name: those that come with the package, then the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_seamless.errors import ModelError
from napari_seamless.models.manifest import network_config, read_manifest
from napari_seamless.models.members import is_package
from napari_seamless.models.model import InputKind, Model, Task
from napari_seamless.models.package import read_package
from napari_seamless.models.price_list import PriceList, auto_level
from napari_seamless.networks.config import NetworkConfig

BUNDLED_MODELS = Path(__file__).parent / "weights"
LIBRARY_VARIABLE = "NAPARI_SEAMLESS_MODELS"


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
        False if its ``model.json`` cannot be read; the fields below are then None.
    config, task, input_kind, price_list, n_examples
        See `napari_seamless.models.model.Model`.
    """

    name: str
    description: str
    path: Path
    bundled: bool
    usable: bool = True
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
    return [_summary(path, bundled) for path, bundled in _packages()]


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
    path = Path(name_or_path)
    if is_package(path):
        return read_package(path)
    for package, _ in _packages():
        if _name_of(package) == str(name_or_path):
            return read_package(package)
    if path.exists():
        return read_package(path)  # raises, saying what is missing
    names = ", ".join(summary.name for summary in list_models()) or "none"
    raise ModelError(f"no model called {str(name_or_path)!r}: give a path, or one of these names: {names}")


def _packages() -> Iterator[tuple[Path, bool]]:
    for folder, bundled in ((BUNDLED_MODELS, True), (library_folder(), False)):
        if folder.is_dir():
            yield from ((path, bundled) for path in sorted(folder.iterdir()) if _is_listed(path))


def _is_listed(path: Path) -> bool:
    """Whether a path is a model, and not one that is just being written or lies in the trash."""
    return is_package(path) and not path.name.startswith(".")


def _name_of(package: Path) -> str:
    return package.stem if package.suffix == ".zip" else package.name


def _summary(path: Path, bundled: bool) -> ModelSummary:
    try:
        manifest = read_manifest(path)
        config = network_config(path, manifest)
    except ModelError as error:
        return ModelSummary(_name_of(path), f"cannot be used: {error}", path, bundled, usable=False)
    return ModelSummary(
        name=_name_of(path),
        description=manifest.card.description,
        path=path,
        bundled=bundled,
        config=config,
        task=manifest.task,
        input_kind=manifest.input_kind,
        price_list=manifest.price_list,
        n_examples=0 if manifest.examples is None else len(manifest.examples.patches),
    )
