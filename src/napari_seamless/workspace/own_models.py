"""The user's library of models: what can be done with the models in it. Bundled models are left as they are."""

from __future__ import annotations

from pathlib import Path

from napari_seamless.errors import ModelError
from napari_seamless.models.library import bundled_names, default_model, library_folder, set_default_model
from napari_seamless.workspace.lineage import Lineage, LineageEntry


def own_models() -> Lineage:
    """Return the user's library; no model in it gets the name of a bundled one."""
    return Lineage(library_folder(), reserved=bundled_names())


def import_model(path: str | Path, name: str = "") -> LineageEntry:
    """Copy a model into the library, after everything about it has been checked.

    Parameters
    ----------
    path : path
        A folder or a zip, as this program writes them.
    name : str
        By default the one that it says it has.

    Raises
    ------
    ModelError
        If it is no model, damaged, altered or of a newer format, or the name is no file name.
    OutputExistsError
        If the name is taken, by a deleted model too.
    FileWriteError
        If it cannot be written. The library is as it was in all these cases.
    """
    return own_models().add(Path(path), name)


def rename_model(name: str, new_name: str) -> LineageEntry:
    """Give one of the user's models another name; if it is the default, it stays that.

    Raises
    ------
    ModelError
        If there is no such model, it comes with the program, is damaged, or the name is no file name.
    OutputExistsError, FileWriteError
        As `import_model`.
    """
    _check_own(name, "renamed")
    was_default = default_model() == name
    entry = own_models().rename(name, new_name)
    if was_default:
        set_default_model(new_name)
    return entry


def delete_model(name: str) -> None:
    """Move one of the user's models to the library's trash, damaged ones too; `undelete_model` brings it back.

    Raises
    ------
    ModelError
        If there is no such model, it comes with the program, or it is the default.
    FileWriteError
        If it cannot be moved.
    """
    _check_own(name, "deleted")
    if default_model() == name:
        raise ModelError(f"model {name!r} is the default and stays as long as it is: choose another default first")
    own_models().delete(name)


def undelete_model(name: str) -> None:
    """Bring a deleted model back.

    Raises
    ------
    ModelError
        If there is none of that name in the trash; the message lists those there are.
    FileWriteError
        If it cannot be moved.
    """
    own_models().undo_delete(name)


def _check_own(name: str, done: str) -> None:
    if name in bundled_names():
        raise ModelError(f"model {name!r} comes with the program and cannot be {done}: import a copy of it to change")
