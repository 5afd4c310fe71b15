"""Taking a trained model over: into the library and into the workspaces that it learned from. For worker threads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seamless.errors import OutputExistsError
from napari_seamless.viewer.finetune.progress import Comparison
from napari_seamless.viewer.finetune.run_folder import Run, decide

if TYPE_CHECKING:
    from napari_seamless.models.library import ModelSummary
    from napari_seamless.workspace.lineage import Lineage


@dataclass(frozen=True)
class StartingModels:
    """What a training can start from.

    Attributes
    ----------
    models : tuple of ModelSummary
        Those of the library, and others in the workspaces.
    current : dict of str to str
        By a workspace's folder, the path of the model that is in use there: the last one adopted or restored.
    family : dict of str to frozenset of str
        By a workspace's folder, the names of the models adopted there and of their parents.
    """

    models: tuple[ModelSummary, ...]
    current: dict[str, str]
    family: dict[str, frozenset[str]]


def starting_models(workspaces: Iterable[Path]) -> StartingModels:
    """Return what a training on these workspaces can start from."""
    from napari_seamless.models.library import list_models, summarise_model

    found = {model.name: model for model in list_models()}
    current: dict[str, str] = {}
    family: dict[str, frozenset[str]] = {}
    for folder in workspaces:
        lineage = _lineage_in(folder)
        entries = lineage.entries()
        for entry in entries:
            if entry.name not in found:
                found[entry.name] = summarise_model(lineage.folder / entry.name)
        name = lineage.current
        if name in found:
            current[str(folder)] = str(found[name].path)
        family[str(folder)] = frozenset({name for each in entries for name in (each.name, each.parent) if name})
    return StartingModels(tuple(found.values()), current, family)


def suggested_name(run: Run) -> str:
    """Return a name that no model has: the parent's with the next number, or the image's for a first model."""
    taken = _taken_names(_all_lineages(run))
    stem = run.record.model_name
    if not stem:
        stem = _image_name(Path(run.record.workspaces[0])).partition(".")[0].strip() or "model"
        if stem not in taken:
            return stem
    base, _, number = stem.rpartition("-")
    base = base if base and number.isdecimal() else stem
    count = 2
    while f"{base}-{count}" in taken:
        count += 1
    return f"{base}-{count}"


def adopt_result(run: Run, comparison: Comparison, name: str) -> Path:
    """Save a run's model under a name, with its parent and scores, and make it the current one; return where it is.

    Raises
    ------
    ModelError, OutputExistsError, FileWriteError
        If the model is damaged, the name is taken or no name, or it can't be written; nothing is decided then.
    """
    from napari_seamless.models.package import read_package

    model = read_package(run.kept or run.model)
    lineages = _all_lineages(run)
    if name in _taken_names(lineages):
        raise OutputExistsError(f"there is, or was, a model {name!r}: choose another name")
    for lineage in lineages:
        lineage.adopt(
            model,
            name=name,
            parent=run.record.model_name or None,
            before=comparison.before,
            after=comparison.after,
            trained_on=run.record.trained_on,
            verdict=comparison.verdict,
        )
    decide(run, "adopted")
    return lineages[-1].folder / name


def _image_name(workspace: Path) -> str:
    from napari_seamless.workspace.layout import read_info

    return read_info(workspace).image_name


def _taken_names(lineages: Iterable[Lineage]) -> set[str]:
    from napari_seamless.models.library import list_models

    names = {entry.name for lineage in lineages for entry in lineage.entries(with_deleted=True)}
    return names | {model.name for model in list_models()}


def _all_lineages(run: Run) -> Sequence[Lineage]:
    """Return those of the workspaces, then that of the library: what is found there is complete."""
    from napari_seamless.workspace.own_models import own_models

    return [*(_lineage_in(Path(folder)) for folder in run.record.workspaces), own_models()]


def _lineage_in(workspace: Path) -> Lineage:
    from napari_seamless.workspace.lineage import Lineage

    return Lineage(workspace / "models")
