"""What a person does to the corrections of an image, by button, menu or key; slow things happen in the background."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning

from napari_seamless.viewer.correct.places import box_in_view, place_text, slice_in_view
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.view_region import NotInView
from napari_seamless.viewer.wording import count

if TYPE_CHECKING:
    import napari

    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.viewer.view_region import RegionDict
    from napari_seamless.workspace.regions import Kind

SLICE_KEY, BOX_KEY, UNDO_KEY, REDO_KEY = "Alt-S", "Alt-B", "Alt-Z", "Alt-Shift-Z"
NOTHING_OPEN = "No image is being corrected: choose one in the Correct panel and press 'Start correcting'."


def correction_in_view(viewer: napari.Viewer) -> Correction | None:
    """Return the correction of the active layer; without one the only one that is open."""
    workspaces = workspaces_of(viewer)
    found = workspaces.of_layer(viewer.layers.selection.active)
    if found is None and len(workspaces.corrections) == 1:
        return workspaces.corrections[0]
    return found


def reason_against(correction: Correction | None) -> str:
    """Return why nothing can be changed now, or nothing."""
    if correction is None:
        return NOTHING_OPEN
    if correction.workspace.read_only:
        return f"Read-only: {correction.workspace.read_only_reason}."
    return correction.busy and f"{correction.busy} It takes a moment."


def reason_against_slice(viewer: napari.Viewer, correction: Correction | None) -> str:
    """Return why no slice can be marked now, or nothing."""
    return reason_against(correction) or _not_in_view(slice_in_view, viewer, correction)


def reason_against_box(viewer: napari.Viewer, correction: Correction | None) -> str:
    """Return why no box can be marked now, or nothing."""
    return reason_against(correction) or _not_in_view(box_in_view, viewer, correction)


def _not_in_view(find: Callable[..., RegionDict], viewer: napari.Viewer, correction: Correction) -> str:
    try:
        find(viewer, correction)
    except NotInView as reason:
        return str(reason)
    return ""


def mark_slice(viewer: napari.Viewer, correction: Correction | None) -> None:
    """Say that the slice in view is right, background included."""
    reason = reason_against_slice(viewer, correction)
    if reason:
        show_warning(reason)
        return
    _mark(viewer, correction, slice_in_view(viewer, correction), "slice")


def mark_box(viewer: napari.Viewer, correction: Correction | None) -> None:
    """Say that the selected rectangle, or the visible field, is right, background included."""
    reason = reason_against_box(viewer, correction)
    if reason:
        show_warning(reason)
        return
    _mark(viewer, correction, box_in_view(viewer, correction), "box")


def _mark(viewer: napari.Viewer, correction: Correction, region: RegionDict, kind: Kind) -> None:
    mark = partial(correction.workspace.verify_region, region, kind=kind)
    _run(viewer, correction, f"Marking the {kind}…", mark, partial(_tell_marked, correction, kind))


def _tell_marked(correction: Correction, kind: str, region: Any) -> None:
    role = "validation" if region.role == "validation" else "training"
    correction.note = f"This {kind} is right: {place_text(correction, region.box)}; for {role}."


def unmark(viewer: napari.Viewer, correction: Correction, region_ids: list[int]) -> None:
    """Take marks back."""
    if reason_against(correction):
        show_warning(reason_against(correction))
        return

    def unmark_all() -> None:
        for region_id in region_ids:
            correction.workspace.unverify_region(region_id)

    _run(viewer, correction, "Taking the mark back…", unmark_all)


def undo(viewer: napari.Viewer, correction: Correction | None) -> None:
    """Take the last bulk change back."""
    _move(viewer, correction, undo=True)


def redo(viewer: napari.Viewer, correction: Correction | None) -> None:
    """Do the bulk change again that was undone last."""
    _move(viewer, correction, undo=False)


def reason_against_move(correction: Correction | None, *, undo: bool) -> str:
    """Return why there is nothing to undo or redo, or nothing."""
    if reason_against(correction):
        return reason_against(correction)
    step = correction.workspace.undo_step if undo else correction.workspace.redo_step
    if step is not None:
        return ""
    return (
        "Nothing to undo: this takes back Segment, marks and other large changes. Ctrl+Z takes back strokes."
        if undo
        else "Nothing was undone."
    )


def _move(viewer: napari.Viewer, correction: Correction | None, *, undo: bool) -> None:
    reason = reason_against_move(correction, undo=undo)
    if reason:
        show_info(reason)
        return
    workspace = correction.workspace
    step = workspace.undo_step if undo else workspace.redo_step
    done = f"{'Undone' if undo else 'Done again'}: {step.name}."

    def tell(result: object) -> None:
        correction.note = done

    function = workspace.undo_bulk if undo else workspace.redo_bulk
    _run(viewer, correction, f"{'Undoing' if undo else 'Redoing'} {step.name}…", function, tell)


def clear_predictions(viewer: napari.Viewer, correction: Correction | None) -> None:
    """Remove every label that nobody verified."""
    if reason_against(correction):
        show_warning(reason_against(correction))
        return

    def tell(summary: Any) -> None:
        correction.note = f"Cleared {count(summary.changed, 'pixel')}; what is verified stays."

    _run(viewer, correction, "Clearing predictions…", correction.workspace.clear_predictions, tell)


def _run(
    viewer: napari.Viewer,
    correction: Correction,
    doing: str,
    function: Callable[[], Any],
    on_result: Callable[[Any], None] = lambda result: None,
) -> None:
    correction.note = ""
    workspaces_of(viewer).run(correction, doing, function, on_result)


def bind_keys(viewer: napari.Viewer) -> None:
    """Let the keys do what the buttons do, whichever layer is active."""
    for key, act in ((SLICE_KEY, mark_slice), (BOX_KEY, mark_box), (UNDO_KEY, undo), (REDO_KEY, redo)):
        viewer.bind_key(key, _by_key(act), overwrite=True)


def _by_key(act: Callable[[napari.Viewer, Correction | None], None]) -> Callable[[napari.Viewer], None]:
    def act_by_key(viewer: napari.Viewer) -> None:  # napari asks each bound function for its name at every key press
        act(viewer, correction_in_view(viewer))

    return act_by_key


def _act_in_current_viewer(act: Callable[[napari.Viewer, Correction | None], None]) -> None:
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        act(viewer, correction_in_view(viewer))


def mark_slice_command() -> None:
    """Mark the slice in view as right: for napari's menu."""
    _act_in_current_viewer(mark_slice)


def mark_box_command() -> None:
    """Mark the box in view as right: for napari's menu."""
    _act_in_current_viewer(mark_box)


def undo_command() -> None:
    """Take the last bulk change back: for napari's menu."""
    _act_in_current_viewer(undo)


def redo_command() -> None:
    """Do the last undone bulk change again: for napari's menu."""
    _act_in_current_viewer(redo)
