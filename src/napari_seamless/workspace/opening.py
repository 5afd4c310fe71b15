"""Open the workspace of an image, or make it."""

from __future__ import annotations

from pathlib import Path

from napari_seamless.events import OnEvent, ignore_event
from napari_seamless.images.image import Image
from napari_seamless.workspace.layout import (
    check_belongs,
    create_workspace,
    default_folder,
    find_workspace,
    info_of,
    read_info,
)
from napari_seamless.workspace.session import Workspace


def open_workspace(
    image: Image, folder: str | Path | None = None, *, name: str = "", on_event: OnEvent = ignore_event
) -> Workspace:
    """Open the workspace of an image; make it if there is none.

    Parameters
    ----------
    image : Image
    folder : path, optional
        By default ``<image name>.seamless`` beside the image's file; needed for arrays.
    name : str
        What an array is called; a workspace is refused to an image of another name.
    on_event : callable
        Receives ``trouble`` with a ``message`` when saving begins to fail, and ``saved`` when it works again; from
        another thread.

    Returns
    -------
    Workspace
        Read-only when another process, or another workspace object, has it open: see `Workspace.read_only_reason`.

    Raises
    ------
    WorkspaceError
        If it is damaged, of a newer format, or of another image; nothing is changed then.
    OutputExistsError
        If the folder is something else.
    FileWriteError
        If it cannot be made there.
    """
    place = default_folder(image) if folder is None else Path(folder)
    wanted = info_of(image, place, name)
    if find_workspace(image, place) is None:
        create_workspace(place, wanted)
    info = read_info(place)
    check_belongs(info, wanted, place)
    return Workspace(image, place, info, on_event)
