"""Taking a trained model over: into the library and into the workspaces that it learned from. For worker threads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seamless.errors import OutputExistsError
from napari_seamless.viewer.finetune_progress import Comparison
from napari_seamless.viewer.finetune_run import Run, decide

if TYPE_CHECKING:
    from napari_seamless.models.library import ModelSummary
    from napari_seamless.workspace.lineage import Lineage, LineageEntry


def models_for(workspaces: Iterable[Path]) -> list[ModelSummary]:
    """Return the models that a training can start from: those of the library, and others in these workspaces."""
    from napari_seamless.models.library import list_models, summarise_model

    found = {model.name: model for model in list_models()}
    for lineage in _lineages_in(workspaces):
        for entry in lineage.entries():
            if entry.name not in found:
                found[entry.name] = summarise_model(lineage.folder / entry.name)
    return list(found.values())


def suggested_name(run: Run) -> str:
    """Return a name that no model has: the parent's with the next number, or the image's for a first model."""
    taken = _taken_names(_all_lineages(run))
    stem = run.record.model_name
    if not stem:
        stem = Path(run.record.workspaces[0]).name.removesuffix(".seamless").partition(".")[0] or "model"
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
    if name in _taken_names(_all_lineages(run)):
        raise OutputExistsError(f"there is, or was, a model {name!r}: choose another name")
    # Workspaces first: whoever finds a model in the library may rely on the rest being done.
    *of_workspaces, library = _all_lineages(run)
    for lineage in (*of_workspaces, library):
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
    return library.folder / name


def ancestry(workspace: Path) -> list[LineageEntry]:
    """Return the models of a workspace, deleted ones included, the newest first."""
    from napari_seamless.workspace.lineage import Lineage

    return list(reversed(Lineage(workspace / "models").entries(with_deleted=True)))


def restore(workspace: Path, name: str) -> Path:
    """Make an earlier model of a workspace the current one again, and return where it is.

    Raises
    ------
    ModelError, FileWriteError
        If it is missing or damaged, or can't be brought back.
    """
    from napari_seamless.workspace.lineage import Lineage

    lineage = Lineage(workspace / "models")
    lineage.restore(name)
    return lineage.folder / name


def _taken_names(lineages: Iterable[Lineage]) -> set[str]:
    from napari_seamless.models.library import list_models

    names = {entry.name for lineage in lineages for entry in lineage.entries(with_deleted=True)}
    return names | {model.name for model in list_models()}


def _all_lineages(run: Run) -> Sequence[Lineage]:
    """Return those of the workspaces, then that of the library."""
    from napari_seamless.models.library import library_folder
    from napari_seamless.workspace.lineage import Lineage

    return [*_lineages_in(map(Path, run.record.workspaces)), Lineage(library_folder())]


def _lineages_in(workspaces: Iterable[Path]) -> list[Lineage]:
    from napari_seamless.workspace.lineage import Lineage

    return [Lineage(folder / "models") for folder in workspaces]
