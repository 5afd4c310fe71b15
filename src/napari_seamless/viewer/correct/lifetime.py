"""How workspaces are opened and closed around a viewer, and what its user is told about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info, show_warning

from napari_seamless.errors import FileWriteError, WorkspaceError
from napari_seamless.viewer.correct.opening import OpeningRequest, open_requested
from napari_seamless.viewer.engine_loading import load_what_labels_need
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.wording import count

if TYPE_CHECKING:
    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.workspace.origin import Origin
    from napari_seamless.workspace.session import Workspace


def open_and_note(
    request: OpeningRequest, is_closing: Callable[[], bool], still_open: list[Workspace]
) -> tuple[Workspace, Origin]:
    """Open a workspace in the worker thread; the viewer may end meanwhile, and nobody waits for it then.

    Raises
    ------
    SeamlessError
        As `open_requested`, and if this viewer has the workspace open already.
    """
    load_what_labels_need()  # here, not on the main thread, which will show the labels
    workspace, origin = open_requested(request, is_closing)
    if workspace.read_only and any(other.folder.samefile(workspace.folder) for other in still_open):
        workspace.close()
        raise WorkspaceError(
            f"the corrections in {workspace.folder} are open in this window already: go on in the layer that shows "
            "them, or remove it first"
        )
    still_open.append(workspace)
    if is_closing():
        close_and_note(workspace, still_open)
    return workspace, origin


def close_and_note(workspace: Workspace, still_open: list[Workspace]) -> None:
    """Close a workspace, in the worker thread or at the end of the viewer."""
    workspace.close()
    if workspace in still_open:  # both may happen at once
        still_open.remove(workspace)


def close_all(still_open: list[Workspace]) -> None:
    """Close what is open when the viewer ends: there is no event loop any more that could wait for a thread."""
    for workspace in tuple(still_open):
        try:
            close_and_note(workspace, still_open)
        except FileWriteError as error:  # it stays open, and is tried again when the program ends
            report(error)


def tell_unusual(workspace: Workspace) -> None:
    """Tell the user what is unusual about a workspace that was opened."""
    if workspace.read_only:
        show_warning(f"The corrections can be looked at, not changed: {workspace.read_only_reason}.")
    if workspace.restored and not workspace.read_only:
        show_info(
            f"Restored {count(workspace.restored, 'edit')} that had not reached the labels on disk when the program "
            "ended."
        )
    if workspace.damaged_lines:
        show_warning(
            f"{count(workspace.damaged_lines, 'line')} of the journal could not be read; a copy of it is kept in "
            f"{workspace.folder / 'journal'}."
        )


def tell_trouble(correction: Correction) -> None:
    """Tell the user, once, when saving begins to fail and when it works again."""
    trouble = correction.new_trouble()
    if isinstance(trouble, FileWriteError):
        show_error(str(trouble))
    elif trouble is False:
        show_info(f"Saving the corrections of '{correction.name}' works again; nothing was lost.")
