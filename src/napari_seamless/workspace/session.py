"""A workspace as the viewer and training see it: one image's corrections, open."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import FileWriteError
from napari_seamless.events import Event, OnEvent
from napari_seamless.images.boxes import Box, Region, contains
from napari_seamless.images.image import Image
from napari_seamless.workspace import marks
from napari_seamless.workspace.adoption import adopt, differing_blocks
from napari_seamless.workspace.bulk_changes import BulkChanges
from napari_seamless.workspace.corrections import Corrections
from napari_seamless.workspace.editable import EditableLabels, WorkspaceArray
from napari_seamless.workspace.examples import CorrectedRegion, corrected_regions
from napari_seamless.workspace.flusher import Flusher
from napari_seamless.workspace.following import Follower
from napari_seamless.workspace.layout import WorkspaceInfo
from napari_seamless.workspace.lock import FolderLock
from napari_seamless.workspace.regions import Kind, Role, VerifiedRegion, region_of, with_role
from napari_seamless.workspace.storage import open_storage


class Workspace(BulkChanges):
    """One image's labels, what of them is verified, and their history: see `opening.open_workspace`. To be closed.

    Methods may be called from any thread. Pixels are counted along `axes`, the image's axes without channels.

    Attributes
    ----------
    image : Image
    folder : pathlib.Path
    info : WorkspaceInfo
    axes : str
    shape : tuple of int
    labels : EditableLabels
        The labels as an array for a Labels layer; see `layer_labels`.
    verified : WorkspaceArray
        uint8: 0 not verified, 1 painted, 2 marked as right, 3 both.
    read_only_reason : str
        Empty, or why nothing can be changed.
    """

    def __init__(self, image: Image, folder: Path, info: WorkspaceInfo, on_event: OnEvent) -> None:
        self.image, self.folder, self.info = image, folder, info
        self.axes, self.shape = info.labels_axes, info.labels_shape
        self._on_event = on_event
        self._lock = FolderLock(folder / "lock")
        self.read_only_reason = self._lock.acquire_or_say()
        try:
            self._storage = open_storage(folder, info, read_only=self.read_only)
        except BaseException:
            self._lock.release()
            raise
        self._corrections = Corrections(self._storage, self.axes)
        self.labels = self.layer_labels()
        self.verified = self.layer_verified()
        self._flusher = None if self.read_only else Flusher(self._storage, self._report)
        self._follower = Follower(self._storage) if self.read_only else None
        self._is_closed = False
        atexit.register(self._close_quietly)

    def _report(self, error: FileWriteError | None) -> None:
        self._on_event(Event("saved") if error is None else Event("trouble", {"message": str(error)}))

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # What there is

    @property
    def read_only(self) -> bool:
        """Whether nothing can be changed; see `read_only_reason`."""
        return bool(self.read_only_reason)

    def follow(self) -> bool:
        """Read what another program has brought to the disk since the last call; return whether there was anything.

        For a workspace that is open read-only, and one thread; else it does nothing.

        Raises
        ------
        WorkspaceError
            If what was written is damaged.
        """
        return self._follower is not None and not self._is_closed and self._follower.follow()

    @property
    def is_free(self) -> bool:
        """Whether this one is open read-only and the program that wrote it has closed it: it can be opened again."""
        return self.read_only and self._lock.is_free

    @property
    def restored(self) -> int:
        """Number of edits that were brought back from the journal because the program ended without saving all."""
        return self._storage.restored

    @property
    def damaged_lines(self) -> int:
        """Number of entries of the journal that could not be read; a copy is kept beside it."""
        return self._storage.damaged_lines

    @property
    def trouble(self) -> FileWriteError | None:
        """Why saving fails at present, or None."""
        return None if self._flusher is None else self._flusher.trouble

    @property
    def changes(self) -> tuple[int, int]:
        """How many changes were ever made, and how many of them are on disk."""
        return self._storage.changes

    @property
    def written_bytes(self) -> int:
        """Bytes written to the disk since the workspace was opened."""
        return self._storage.written_bytes

    @property
    def models_folder(self) -> Path:
        """Where adopted models are; see `lineage.Lineage`."""
        return self.folder / "models"

    @property
    def runs_folder(self) -> Path:
        """Where training runs are."""
        return self.folder / "runs"

    @property
    def next_id(self) -> int:
        """An object id that was never used: for the next object that a person paints."""
        return self._storage.next_id

    def layer_labels(self, extra_axes: tuple[int, ...] = ()) -> EditableLabels:
        """Return the labels for ``viewer.add_labels``; `extra_axes` says where the layer has axes of length 1 more."""
        corrections = self._corrections
        return EditableLabels(
            self._storage,
            lambda box, values: corrections.write_box(box, values, "paint"),
            lambda points, values: corrections.write_points(points, values, "paint"),
            extra_axes,
        )

    def layer_verified(self, extra_axes: tuple[int, ...] = ()) -> WorkspaceArray:
        """Return the verified flags for an overlay; it cannot be written to."""
        return WorkspaceArray(self._storage, "flags", extra_axes)

    # Edits

    def record_edit(self, where: Any, labels: Any, source: str = "paint") -> int:
        """Record what a person did; the pixels that change become verified.

        Parameters
        ----------
        where : mapping of axis to (start, stop), tuple of slices, or tuple of index arrays
            A region, or single pixels.
        labels : array-like, integer
            New labels, of the region's shape or one for each pixel, or a single one.
        source : str
            ``paint``, ``fill``, ``erase``, ``polygon``, ..., for the journal.

        Returns
        -------
        int
            Number of pixels that changed.
        """
        if isinstance(where, tuple) and where and all(isinstance(part, np.ndarray) for part in where):
            return self._corrections.write_points(where, labels, source)
        return self._corrections.write_box(self.box(where), labels, source)

    def find_changes(self, array: Any, region: Region | None = None) -> list[Box]:
        """Return where an array (of the region's shape) differs from the labels: boxes of up to 2048 x 2048."""
        return differing_blocks(self._storage, array, self.box(region))

    def adopt_array(self, array: Any, region: Region | None = None, source: str = "replaced") -> int:
        """Record as edits whatever differs in an array that took the labels' place; one step that can be undone.

        This is for ``layer.data = array``; afterwards give the layer `labels` again.

        Parameters
        ----------
        array : array-like, integer, shape of the region
            Read block by block.

        Returns
        -------
        int
            Number of pixels that changed.
        """
        return adopt(self._storage, self._corrections, array, self.box(region), source)

    # Verified regions

    @property
    def regions(self) -> tuple[VerifiedRegion, ...]:
        """The verified regions, by id."""
        return self._storage.regions

    def verify_region(
        self, region: Any, *, kind: Kind = "box", mask: NDArray[np.bool_] | None = None
    ) -> VerifiedRegion:
        """Mark a region as right, background included.

        Parameters
        ----------
        region : mapping of axis to (start, stop), or tuple of (start, stop) or slices
            Axes that are not named are taken whole.
        kind : {"box", "slice"}
        mask : ndarray of bool, shape of the region, optional
            Mark only these pixels.
        """
        self._corrections.forget_history()
        return marks.verify(self._storage, self.box(region), kind, mask)

    def verify_slice(self, position: Mapping[str, int]) -> VerifiedRegion:
        """Mark a whole plane as right: ``verify_slice({"Z": 12})``; axes that are not named are taken whole."""
        planes = {axis: (index, index + 1) for axis, index in position.items()}
        return self.verify_region(planes, kind="slice")

    def unverify_region(self, region_id: int) -> None:
        """Take a mark back. What was painted in a slice or box stays verified: un-mark the region of strokes, too."""
        self._corrections.forget_history()
        marks.unverify(self._storage, region_of(self.regions, region_id))

    def set_role(self, region_id: int, role: Role | None) -> None:
        """Choose whether a region is for training or validation; None leaves it to the program."""
        with self._storage.lock:
            regions = with_role(self.regions, region_id, role)
            self._storage.commit("role", regions=regions, region=region_id)

    def regions_at(self, position: tuple[int, ...]) -> tuple[VerifiedRegion, ...]:
        """Return the regions whose boxes hold a pixel."""
        pixel = tuple((index, index + 1) for index in position)
        return tuple(region for region in self.regions if contains(region.box, pixel))

    def examples(self) -> list[CorrectedRegion]:
        """Return the verified regions for training, as they are on disk after this call."""
        self.flush()
        return corrected_regions(self.image, self.folder, self.axes, self.regions)

    # Saving

    def flush(self) -> None:
        """Bring everything to the disk now.

        Raises
        ------
        FileWriteError
            If that fails; nothing is lost or damaged, and it is tried again.
        """
        self._storage.flush()

    def close(self) -> None:
        """Save everything and let others write. If saving fails, the workspace stays open.

        Raises
        ------
        FileWriteError
            As `flush`.
        """
        if self._is_closed:
            return
        if self._flusher is not None:
            self._storage.flush()
            self._flusher.stop()
            self._storage.flush()
        self._storage.read_only = True
        self._is_closed = True
        self._lock.release()
        atexit.unregister(self._close_quietly)

    def _close_quietly(self) -> None:
        """At the end of the program there is nobody to tell any more; what could be saved is saved."""
        try:
            self.close()
        except FileWriteError as error:
            self._report(error)
