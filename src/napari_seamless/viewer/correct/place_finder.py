"""Going to the place to correct next, and the one after that, and what was suggested already. Main thread only."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_seamless.errors import Cancelled
from napari_seamless.images.boxes import contains
from napari_seamless.viewer.controls import single_shot
from napari_seamless.viewer.correct.places import place_text, show_place
from napari_seamless.viewer.correct.uncertainty_job import Kind, Search
from napari_seamless.viewer.correct.uncertainty_layers import mark_place, remove_mark
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.worker import Worker
from napari_seamless.workspace.next_place import Ranking, Suggestion

if TYPE_CHECKING:
    import napari

    from napari_seamless.images.boxes import Box
    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.workspace.uncertainty_file import UncertaintyMap

_MS_TO_MARK = 20


class PlaceFinder(QObject):
    """Looks for places in the uncertainty map of one correction, and takes the view there.

    Signals
    -------
    changed
        A search began or ended.

    Attributes
    ----------
    outcome : str
        Where the last search led, for the user.
    is_searching : bool
    """

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self.outcome = ""
        self.is_searching = False
        self._viewer = viewer
        self._worker = Worker(self)
        self._correction: Correction | None = None
        self._map: UncertaintyMap | None = None
        self._rankings: dict[Kind, Ranking] = {}
        self._visited: dict[Kind, list[Box]] = {}
        self._place: Box | None = None
        self._to_mark: tuple[Correction, Box] | None = None
        self._mark_soon = single_shot(_MS_TO_MARK, self._mark, self)

    def set_map(self, correction: Correction | None, found: UncertaintyMap | None) -> None:
        """Look in this map from now on; of another correction, nothing was suggested yet."""
        if correction is not self._correction:
            self._visited, self._place, self.outcome = {}, None, ""
        self._correction, self._map, self._rankings = correction, found, {}

    def go(self, kind: Kind) -> None:
        """Look for the next place in the background, and go there."""
        correction, found_in = self._correction, self._map
        search = Search(
            uncertainty=found_in.array,
            axes=correction.workspace.axes,
            kind=kind,
            verified=correction.workspace.verified,
            within=tuple(region.box for region in correction.workspace.regions),
            skip=tuple(self._visited.get(kind, ())),
            ranking=self._rankings.get(kind),
            should_stop=self._worker.is_closing,
        )
        self.is_searching = True
        self._worker.fetch(search, partial(self._on_found, found_in, kind), self._on_error)
        self.changed.emit()

    def drop_verified_mark(self) -> None:
        """Take the rectangle away when what is in it was marked as right."""
        if self._place is None:
            return
        regions = self._correction.workspace.regions
        if any(region.kind != "edit" and contains(region.box, self._place) for region in regions):
            remove_mark(self._viewer, self._correction)
            self._place = None

    def _on_found(self, found_in: UncertaintyMap, kind: Kind, found: tuple[Ranking, Suggestion | None]) -> None:
        is_open = self._correction in workspaces_of(self._viewer).corrections
        if is_open and found_in is self._map:  # else it was replaced, or another image chosen, meanwhile
            self._rankings[kind], suggestion = found
            if suggestion is not None:
                self._show(kind, suggestion)
            else:
                visited = self._visited.pop(kind, None)
                self.outcome = f"No other {kind}: Next begins again." if visited else f"Every {kind} is verified."
        self.is_searching = self._mark_soon.isActive()
        self.changed.emit()

    def _show(self, kind: Kind, suggestion: Suggestion) -> None:
        visited = self._visited.setdefault(kind, [])
        visited.append(suggestion.box)
        self._viewer.dims.ndisplay = 2
        show_place(self._viewer, self._correction, suggestion.box, closer=True)
        if kind == "field":
            self._to_mark = self._correction, suggestion.box
            self._mark_soon.start()  # once the place is drawn: each takes a while
        else:
            remove_mark(self._viewer, self._correction)
        self._place = suggestion.box if kind == "field" else None
        place = place_text(self._correction, suggestion.box)
        self.outcome = f"{place}: {suggestion.uncertainty:.2f} unsure on average."

    def _mark(self) -> None:
        correction, box = self._to_mark
        if correction in workspaces_of(self._viewer).corrections:
            mark_place(self._viewer, correction, box)
        self.is_searching = False
        self.changed.emit()

    def _on_error(self, error: BaseException) -> None:
        self.is_searching = False
        self.changed.emit()
        if not isinstance(error, Cancelled):
            report(error)
