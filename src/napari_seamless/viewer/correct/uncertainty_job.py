"""Mapping where a model is unsure, and looking for the place to correct next: what a thread does meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_seamless.errors import ModelError
from napari_seamless.viewer.engine_loading import load_engine
from napari_seamless.viewer.segment.job import Progress, open_model
from napari_seamless.viewer.wording import progress_line
from napari_seamless.workspace.next_place import FIELD_SIDE, Ranking, Suggestion
from napari_seamless.workspace.uncertainty_file import UncertaintyMap, make_map, read_map

if TYPE_CHECKING:
    from napari_seamless.events import Event
    from napari_seamless.images.boxes import Box
    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.viewer.worker import Worker

Kind = Literal["field", "slice"]


class UncertaintyJob:
    """One run over a whole image; the main thread asks `progress` and `future` how it goes.

    Attributes
    ----------
    correction : Correction
    future : concurrent.futures.Future
        Its result is the map, or it raises what the run raised.

    Parameters
    ----------
    correction : Correction
        The model of its labels is known.
    worker : Worker
    """

    def __init__(self, correction: Correction, worker: Worker) -> None:
        self.correction = correction
        self._image = correction.workspace.image
        self._origin = correction.origin
        self._folder, self._shape = correction.workspace.folder, correction.workspace.shape
        self._progress = Progress()
        self._stop = threading.Event()
        self._is_closing = worker.is_closing
        self.future: Future[UncertaintyMap] = worker.submit(self._run)

    @property
    def progress(self) -> Progress:
        """How far the run is now."""
        return self._progress

    @property
    def line(self) -> str:
        """That for the user."""
        now = self._progress
        counted = progress_line(now.done, now.total, now.seconds_left) if now.total else "Preparing to map"
        line = "Stopping after this tile" if self._stop.is_set() else counted
        return f"{line}\n{now.notice}" if now.notice else line

    def cancel(self) -> None:
        """Ask the run to stop after the current tile; the map that was there stays."""
        self._stop.set()
        self.future.cancel()  # matters only while it still waits for the worker

    def _run(self) -> UncertaintyMap:
        load_engine()
        model = open_model(model_package(self._origin.model, self._origin.model_path, self._folder))
        make_map(
            self._folder,
            self._image,
            model,
            name=self._origin.model,
            channel=self._origin.channel if "C" in self._image.axes else None,
            on_event=self._on_event,
            should_stop=lambda: self._stop.is_set() or self._is_closing(),
        )
        return read_map(self._folder, self._shape)

    def _on_event(self, event: Event) -> None:
        fields = event.fields
        if event.name == "tile":
            done, total, left = fields["done"], fields["total"], fields["seconds_left"]
            self._progress = replace(self._progress, done=done, total=total, seconds_left=left)
        elif event.name == "notice":
            self._progress = replace(self._progress, notice=fields["message"])


def model_package(name: str, path: str, workspace: Path) -> Path:
    """Return where the package of a model is: where it was, or wherever one of its name is now. For a worker thread.

    Raises
    ------
    ModelError
        If there is none.
    """
    from napari_seamless.models.library import find_model

    for place in ([Path(path)] if path else []) + [workspace / "models" / name]:
        if place.exists():
            return place
    try:
        return find_model(name)
    except ModelError as error:
        raise ModelError(
            f"the model '{name}' that made these labels is no longer there: put it back, or press Segment with another"
        ) from error


@dataclass(frozen=True, eq=False)
class Search:
    """Looks for the place to correct next. Made on the main thread, called in a worker thread.

    Attributes
    ----------
    uncertainty : array-like
    axes : str
    kind : {"field", "slice"}
    verified : array-like
    within, skip : sequence of boxes
        As for `Ranking.suggest`.
    ranking : Ranking or None
        Of this map, if it was summed up before.
    should_stop : callable
    """

    uncertainty: Any
    axes: str
    kind: Kind
    verified: Any
    within: Sequence[Box]
    skip: Sequence[Box]
    ranking: Ranking | None
    should_stop: Callable[[], bool]

    def __call__(self) -> tuple[Ranking, Suggestion | None]:
        """Return the sums, for the next search, and the best place, or None."""
        side = FIELD_SIDE if self.kind == "field" else None
        ranking = self.ranking or Ranking(self.uncertainty, self.axes, side, self.should_stop)
        return ranking, next(ranking.suggest(self.verified, within=self.within, skip=self.skip), None)
