"""One run of the Segment widget: what was asked for, and the work in a thread that the main thread looks at."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.errors import OutputExistsError
from napari_seamless.viewer.engine_loading import load_engine, load_what_labels_need
from napari_seamless.viewer.layers import LayerSource, Region, labels_axes
from napari_seamless.viewer.segment.provisional import ProvisionalLabels, fits_memory

if TYPE_CHECKING:
    from napari_seamless.events import Event
    from napari_seamless.inference.plan import SegmentationPlan
    from napari_seamless.models.library import ModelSummary
    from napari_seamless.models.model import Model
    from napari_seamless.viewer.worker import Worker
    from napari_seamless.workspace.predictions import PredictionSummary

    Deliver = Callable[[Any, bool, Callable[[], bool]], PredictionSummary]


@dataclass(frozen=True, eq=False)
class SegmentRequest:
    """Everything a run needs to know, fixed when the button was pressed.

    Attributes
    ----------
    source : LayerSource
        The image.
    model : pathlib.Path
        The model's package.
    region : mapping of str to (int, int)
        The part to segment; axes that are not named are taken whole.
    options : mapping
        ``channel``, ``level`` and ``device`` as `napari_seamless.segment` takes them.
    output : pathlib.Path or None
        Where the user wants the labels; None for the viewer only.
    overwrite : bool
        Whether `output` may be replaced.
    """

    source: LayerSource
    model: Path
    region: Region = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    output: Path | None = None
    overwrite: bool = False

    @property
    def labels_shape(self) -> tuple[int, ...]:
        """Shape of the Labels layer: the region over `labels_axes`, a channel axis with length 1."""
        sizes = {letter: stop - start for letter, (start, stop) in self.region.items()}
        sizes = {**self.source.sizes, **sizes, "C": 1}
        return tuple(sizes[letter] for letter in labels_axes(self.source.axes))


def open_model(path: Path) -> Model:
    """Load a model, or return the one loaded before if its package has not changed since."""
    manifest = path / "model.json" if path.is_dir() else path
    return _open_model(path, manifest.stat().st_mtime_ns if manifest.exists() else 0)


@lru_cache(maxsize=2)
def _open_model(path: Path, changed_at: int) -> Model:
    from napari_seamless.models.library import load_model

    return load_model(path)


def plan_request(request: SegmentRequest, calibrate: bool = True) -> SegmentationPlan:
    """Say what a run would take; how long, only if the network's speed may be measured. For a worker thread.

    Raises
    ------
    SeamlessError
        Whatever would end the run before its first tile.
    """
    load_engine()
    from napari_seamless.inference.plan import plan_segmentation

    if request.output is not None:
        _check_output(request.output, request.overwrite)
    model = open_model(request.model)
    region = request.region or None
    return plan_segmentation(request.source.image(), model, region=region, calibrate=calibrate, **request.options)


def _check_output(path: Path, overwrite: bool) -> None:
    from napari_seamless.images.write import check_output

    try:
        check_output(path, overwrite)
    except OutputExistsError as error:
        raise OutputExistsError(
            f"{path} exists: choose another name, or choose it with '…', which asks whether to replace it"
        ) from error


def models() -> list[ModelSummary]:
    """Return the models there are. To be called in a worker thread: the first time takes a moment."""
    from napari_seamless.models.library import list_models

    return list_models()


def devices() -> tuple[str, ...]:
    """Return the devices this machine has. To be called in a worker thread: it imports torch."""
    load_engine()
    load_what_labels_need()
    from napari_seamless.inference.devices import available_devices

    return available_devices()


SEGMENTING = "Segmenting"

LINGER_SECONDS = 20.0
"""How long memory stays warm after a run: with the next click within that time it need not be cleared again."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    done, total : int
        Tiles; ``total`` is 0 until the plan is made.
    seconds_left : float or None
    stage : str
        What is being done, for the user.
    notice : str
        The last message of the run that the user should see; empty when there is none.
    """

    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    stage: str = "Preparing"
    notice: str = ""


class SegmentJob:
    """A run in a worker thread; the main thread asks `progress`, `take_changes` and `future` how it goes.

    Attributes
    ----------
    request : SegmentRequest
    future : concurrent.futures.Future
        Its result are the labels in the order of the layer's axes; or it raises what the run raised.
    provisional : ProvisionalLabels or None
        The tiles that are finished; None until the first one is.
    plan : dict
        The fields of the ``plan`` event.
    facts : dict
        The fields of the ``done`` event.
    temporary_folder : pathlib.Path or None
        Where the labels are when they were too large for memory and the user named no file; whoever shows them
        removes it after that.
    delivered : PredictionSummary or None
        What `deliver` returned.

    Parameters
    ----------
    request : SegmentRequest
    worker : Worker
    deliver : callable, optional
        Takes the labels to where they belong, as the last part of the run: is called in the thread with the labels,
        whether they are ids of objects, and ``should_stop``.
    """

    def __init__(self, request: SegmentRequest, worker: Worker, deliver: Deliver | None = None) -> None:
        self.request = request
        self.delivered: PredictionSummary | None = None
        self._deliver = deliver
        self.provisional: ProvisionalLabels | None = None
        self.plan: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.temporary_folder: Path | None = None
        self._progress = Progress()
        self._changes: list[tuple[slice, ...]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._is_closing = worker.is_closing
        self.future: Future[Any] = worker.submit(self._run)

    @property
    def progress(self) -> Progress:
        """How far the run is now."""
        return self._progress

    def cancel(self) -> None:
        """Ask the run to stop after the current tile."""
        self._stop.set()
        self._progress = replace(self._progress, stage="Stopping after this tile")
        self.future.cancel()  # matters only while it still waits for the worker

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        return self._stop.is_set()

    def take_changes(self) -> list[tuple[slice, ...]]:
        """Return where tiles were finished since the last call."""
        with self._lock:
            changes, self._changes = self._changes, []
        return changes

    def _run(self) -> Any:
        load_engine()
        from napari_seamless.inference.allocator import warm_memory
        from napari_seamless.inference.run import segment

        request = self.request
        model = open_model(request.model)
        dtype = np.uint32 if model.task == "instances" else np.uint8
        on_disk = not fits_memory(request.labels_shape, dtype)
        tiles = ProvisionalLabels(request.labels_shape, dtype, on_disk)
        self._progress = replace(self._progress, stage="Measuring intensities")
        with warm_memory(linger=LINGER_SECONDS):  # one click follows another
            labels = segment(
                request.source.image(),
                model,
                region=request.region or None,
                output=self._output(on_disk),
                overwrite=request.overwrite,
                on_event=lambda event: self._on_event(event, tiles),
                should_stop=self._should_stop,
                **request.options,
            )
        result = self._for_viewer(labels, on_disk)
        if self._deliver is not None:
            self._progress = replace(self._progress, stage="Writing around what is verified", seconds_left=None)
            self.delivered = self._deliver(result, model.task == "instances", self._should_stop)
            self._remove_temporary()
        return result

    def _should_stop(self) -> bool:
        return self._stop.is_set() or self._is_closing()

    def _remove_temporary(self) -> None:
        if self.temporary_folder is not None:
            shutil.rmtree(self.temporary_folder, ignore_errors=True)
            self.temporary_folder = None

    def _output(self, on_disk: bool) -> Path | None:
        """Return where the labels are written: where the user wants them, or a temporary folder if they are large."""
        if self.request.output is not None or not on_disk:
            return self.request.output
        self.temporary_folder = Path(tempfile.mkdtemp(prefix="napari-seamless-"))
        return self.temporary_folder / "labels.ome.zarr"

    def _on_event(self, event: Event, tiles: ProvisionalLabels) -> None:
        if event.name == "plan":
            self.plan = dict(event.fields)
            self._progress = replace(self._progress, total=event.fields["n_tiles"], stage=SEGMENTING)
        elif event.name == "notice":
            self._progress = replace(self._progress, notice=event.fields["message"])
        elif event.name == "tile":
            self._on_tile(event, tiles)
        elif event.name == "stitch":
            self._progress = replace(self._progress, stage="Joining objects across tiles", seconds_left=None)
        elif event.name == "done":
            self.facts = dict(event.fields)

    def _on_tile(self, event: Event, tiles: ProvisionalLabels) -> None:
        where = tuple(slice(start, stop) for start, stop in event.fields["region"])
        channel = self._channel_axis()
        block = event.payload["labels"]
        if channel is not None:
            where = (*where[:channel], slice(0, 1), *where[channel:])
            block = np.expand_dims(block, channel)
        tiles.write(where, block)
        with self._lock:
            self._changes.append(where)
        self.provisional = tiles
        self._progress = replace(
            self._progress,
            stage=SEGMENTING,
            done=event.fields["done"],
            total=event.fields["total"],
            seconds_left=event.fields["seconds_left"],
        )

    def _channel_axis(self) -> int | None:
        axes = labels_axes(self.request.source.axes)
        return axes.index("C") if "C" in axes else None

    def _for_viewer(self, labels: Any, on_disk: bool) -> Any:
        """Return labels over the layer's axes, such that they can be painted on wherever that is possible.

        An OME-Zarr file is shown itself: what is painted is written to it. A TIFF file can't be changed in part, so
        its labels are shown from memory, or unchangeable if they don't fit.
        """
        import dask.array as da
        import zarr

        if isinstance(labels, zarr.Array):
            path = self.request.output or self.temporary_folder / "labels.ome.zarr"
            labels = zarr.open_array(path / "0", mode="r+")
        elif isinstance(labels, da.Array) and not on_disk:
            labels = labels.compute()
        channel = self._channel_axis()
        if channel is None:
            return labels
        if isinstance(labels, zarr.Array):
            labels = da.from_zarr(labels) if on_disk else labels[:]
        return da.expand_dims(labels, channel) if isinstance(labels, da.Array) else np.expand_dims(labels, channel)
