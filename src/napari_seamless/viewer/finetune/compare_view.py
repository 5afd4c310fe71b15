"""Before and after in the visible field: one layer that shows either, or one left and the other right of a line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_seamless.errors import Cancelled
from napari_seamless.viewer.finetune.field_prediction import Field, FieldLayer, field_of, labels_in
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.view_region import NotInView

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.viewer.worker import Worker

Mode = Literal["before", "after", "wipe"]

TOGGLE_KEY = "Shift-B"
LAYER_NAME = "before | after"


class CompareView(QObject):
    """Labels of two models over the visible field. Main thread only.

    Signals
    -------
    changed
        Another state, see `state`, or another mode.

    Attributes
    ----------
    mode : {"before", "after", "wipe"}
    wipe : float
        Where the line is, 0 (left edge: all of it after) to 1.
    state : str
        What the user is told: that it is being computed, or why there is nothing to be seen.
    """

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.mode: Mode = "wipe"
        self.wipe = 0.5
        self.state = ""
        self._viewer = viewer
        self._worker = worker
        self._output = FieldLayer(viewer, LAYER_NAME)
        self._before: NDArray[Any] | None = None
        self._after: NDArray[Any] | None = None
        self._shown: NDArray[Any] | None = None
        self._request = 0
        self._corrections: napari.layers.Labels | None = None
        self._hidden: napari.layers.Labels | None = None

    @property
    def is_shown(self) -> bool:
        """Whether there is something to switch between."""
        return self._shown is not None and self._output.is_shown

    def compare(self, before: Path | None, after: Path, correction: Correction, channel: int | None) -> None:
        """Run both models over the visible field; without `before` there is nothing on that side."""
        try:
            field = field_of(self._viewer, correction, channel)
        except NotInView as reason:
            self._set_state(str(reason))
            return
        self._request += 1
        self._corrections = correction.labels_layer
        self._set_state("Running both models over the visible field…")
        find = partial(_both, field, before, after, self._worker.is_closing)
        self._worker.fetch(find, partial(self._show, field, self._request), self._on_error)

    def set_mode(self, mode: Mode) -> None:
        """Show before, after, or both beside a line."""
        self.mode = mode
        self._compose()
        self.changed.emit()

    def set_wipe(self, wipe: float) -> None:
        """Move the line."""
        self.wipe = wipe
        self._compose()

    def toggle(self) -> None:
        """Show the other one."""
        self.set_mode("before" if self.mode == "after" else "after")

    def remove(self) -> None:
        """Take the layer away."""
        self._request += 1
        self._before = self._after = self._shown = None
        self._output.remove()
        if self._hidden is not None:
            self._hidden.visible = True
            self._hidden = None
        self._viewer.bind_key(TOGGLE_KEY, None, overwrite=True)
        self._set_state("")

    def _show(self, field: Field, request: int, found: tuple[NDArray[Any], NDArray[Any]]) -> None:
        if request != self._request:  # overtaken by another one, or no longer wanted
            return
        self._before, self._after = found
        self._shown = self._after.copy()
        self._output.show(self._shown, field)
        self._hide_corrections()
        self._viewer.bind_key(TOGGLE_KEY, lambda viewer: self.toggle(), overwrite=True)
        self._compose()
        self._set_state("")

    def _hide_corrections(self) -> None:
        """Take the labels below out of sight, which would shine through; they come back with the end of this."""
        if self._hidden is None and self._corrections is not None and self._corrections.visible:
            self._hidden = self._corrections
            self._hidden.visible = False

    def _compose(self) -> None:
        if self._shown is None:
            return
        share = {"before": 1.0, "after": 0.0, "wipe": self.wipe}[self.mode]
        line = round(share * self._shown.shape[-1])
        self._shown[..., :line] = self._before[..., :line]
        self._shown[..., line:] = self._after[..., line:]
        self._output.refresh()

    def _set_state(self, state: str) -> None:
        self.state = state
        self.changed.emit()

    def _on_error(self, error: BaseException) -> None:
        self._set_state(f"It could not be computed: {error}")
        if not isinstance(error, Cancelled):
            report(error)


def _both(
    field: Field, before: Path | None, after: Path, should_stop: Callable[[], bool]
) -> tuple[NDArray[Any], NDArray[Any]]:
    new = labels_in(field, after, should_stop)
    old = np.zeros_like(new) if before is None else labels_in(field, before, should_stop)
    # Ids up to 255 come with 8 bits: those of classes, which mean the same in both.
    is_classes = new.dtype.itemsize == 1
    return old, new if is_classes else with_ids_of(old, new)


def with_ids_of(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """Give objects the ids, and so the colours, of those that they overlap most, so that the eye sees what differs.

    Parameters
    ----------
    before, after : ndarray, unsigned integer, same shape

    Returns
    -------
    ndarray
        `after` under other ids: each object of `before` gives its id to at most one; the others get new ids.
    """
    both = (before > 0) & (after > 0)
    pairs, sizes = np.unique(np.stack([before[both], after[both]]), axis=1, return_counts=True)
    names: dict[int, int] = {}
    given: set[int] = set()
    for old, new in pairs[:, np.argsort(-sizes, kind="stable")].T.tolist():
        if new not in names and old not in given:
            names[new] = old
            given.add(old)
    ids = np.unique(after)
    free = int(before.max(initial=0)) + 1
    renamed = np.zeros(len(ids), after.dtype)
    for index, new in enumerate(ids.tolist()):
        if new == 0:
            continue
        if new not in names:
            names[new], free = free, free + 1
        renamed[index] = names[new]
    return renamed[np.searchsorted(ids, after)]
