"""What can be done with a model of the list, and why it can't. The actions are for worker threads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_seamless.viewer.models.list import ModelRow
    from napari_seamless.workspace.lineage import Lineage

_CHOOSE = "Choose a model in the list."
_BUNDLED = "Models that come with the program stay as they are: export one and import the copy to change it."
_IN_TRASH = "It lies in the trash: bring it back first."


def reason_not_to(action: str, row: ModelRow | None) -> str:
    """Return why an action can't be taken, or nothing."""
    if action == "import":
        return ""
    if row is None:
        return _CHOOSE
    if row.deleted and action != "delete":
        return _IN_TRASH
    if row.place == "bundled" and action in ("rename", "delete"):
        return _BUNDLED
    if action == "default":
        if row.is_default:
            return "It is the default."
        return "Export it and import it into your library first." if row.place == "workspace" else ""
    if action == "restore":
        if row.place != "workspace":
            return "Only for models that were adopted for an image: choose others in the panel Fine-tune."
        return "It is in use." if row.is_current else ""
    if action == "delete" and row.is_default:
        return "It is the default: choose another default first."
    return ""


def make_default(row: ModelRow) -> None:
    """Use a model where none is named."""
    from napari_seamless.models.library import set_default_model

    set_default_model(row.name)


def use_again(row: ModelRow) -> None:
    """Make a model the one in use in its workspace."""
    _lineage_of(row).restore(row.name)


def rename(row: ModelRow, name: str) -> None:
    """Give a model another name."""
    from napari_seamless.workspace.own_models import rename_model

    if row.place == "own":
        rename_model(row.name, name)
    else:
        _lineage_of(row).rename(row.name, name)


def delete(row: ModelRow) -> None:
    """Move a model to the trash."""
    from napari_seamless.workspace.own_models import delete_model

    if row.place == "own":
        delete_model(row.name)
    else:
        _lineage_of(row).delete(row.name)


def bring_back(row: ModelRow) -> None:
    """Bring a model back out of the trash."""
    _lineage_of(row).undo_delete(row.name)


def export(row: ModelRow, path: Path) -> None:
    """Write a model to a zip or a folder; the dialog has asked whether to replace what is there."""
    from napari_seamless.models.copying import copy_package

    copy_package(row.path, path, overwrite=True)


def _lineage_of(row: ModelRow) -> Lineage:
    from napari_seamless.workspace.lineage import Lineage
    from napari_seamless.workspace.own_models import own_models

    return own_models() if row.place == "own" else Lineage(row.folder)
