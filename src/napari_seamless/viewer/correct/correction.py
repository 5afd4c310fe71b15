"""One image that is being corrected: its workspace, its layers, and what became of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_seamless.viewer.layers import METADATA_KEY, full_resolution, labels_axes, labels_placement
from napari_seamless.viewer.wording import duration

if TYPE_CHECKING:
    import napari.layers

    from napari_seamless.errors import FileWriteError
    from napari_seamless.viewer.correct.adoption import Adoption
    from napari_seamless.viewer.correct.opening import OpeningRequest
    from napari_seamless.workspace.origin import Origin
    from napari_seamless.workspace.session import Workspace


class Correction:
    """An open workspace and the layers that show it. Main thread only, but for the workspace.

    Attributes
    ----------
    workspace : Workspace
    image_layers : tuple of napari.layers.Image
        The image, or one layer per channel; empty when it was taken out of the viewer or holds other pixels now.
    labels_layer : napari.layers.Labels
        Shows and changes the workspace's labels.
    data : EditableLabels
        What the Labels layer holds.
    placement : dict
        What puts a Labels layer exactly over the image: see `layers.labels_placement`.
    extra_axes : tuple of int
        Where the Labels layer has a channel axis of length 1, which the workspace has not.
    name : str
        What the image is called.
    axes : str
        Meaning of the image layers' axes, without ``S``.
    origin : Origin
        What made the labels.
    busy : str
        What is being done to the workspace in the background; empty when nothing is.
    note : str
        What was done last, for the user.
    is_free : bool
        Whether it is read-only though the program that wrote it has closed it.
    """

    def __init__(
        self,
        workspace: Workspace,
        origin: Origin,
        image_layers: tuple[napari.layers.Image, ...],
        request: OpeningRequest,
    ) -> None:
        self.workspace = workspace
        self.origin = origin
        self.image_layers = tuple(unwrapped(layer) for layer in image_layers)
        self.name = request.name
        self.axes = request.source.axes.replace("S", "")
        self.busy = self.note = ""
        self.is_free = False
        self.labels_layer: napari.layers.Labels = None
        self.adoption: Adoption = None
        self._file = request.path
        self._shape = tuple(full_resolution(image_layers[0]).shape)
        self.placement = labels_placement(
            image_layers[0], self.axes, {}, tuple(request.source.sizes[letter] for letter in self.axes)
        )
        axes = labels_axes(self.axes)
        self.extra_axes = (axes.index("C"),) if "C" in axes else ()
        self.data = workspace.layer_labels(self.extra_axes)
        self._workspace_origin = workspace.origin
        self._seen, self._on_disk = workspace.changes
        self._saved_at = time.monotonic()
        self._trouble: FileWriteError | None = None

    # Who and where

    @property
    def image_layer(self) -> napari.layers.Image | None:
        """The image's layer, the first of several; None when it was taken out of the viewer."""
        return self.image_layers[0] if self.image_layers else None

    @property
    def model_name(self) -> str:
        """Name of the model that made the labels; empty when none did."""
        return self.origin.model

    @property
    def model_path(self) -> str:
        """Where the package of that model was."""
        return self.origin.model_path

    def follow_origin(self) -> None:
        """Take over what the workspace says about what made the labels, if it is something else than before."""
        now = self.workspace.origin
        if now != self._workspace_origin:
            self.origin = self._workspace_origin = now

    @property
    def labels_axes(self) -> str:
        """Axes of the Labels layer: those of the image layer without channels, or with a channel axis of length 1."""
        return labels_axes(self.axes)

    def concerns(self, layer: Any) -> bool:
        """Whether a layer is the image, one of its channels, or the labels."""
        return any(same_layer(layer, own) for own in (*self.image_layers, self.labels_layer))

    # Layers

    def adopt_layer(self, layer: napari.layers.Labels) -> None:
        """Let a Labels layer that has the right place show and change the labels from now on."""
        self.labels_layer = layer
        layer.metadata = {**layer.metadata, METADATA_KEY: self._metadata()}
        self.restore_data()
        self.new_object()

    def _metadata(self) -> dict[str, Any]:
        return {
            "kind": "corrections",
            "image": self.name,
            "axes": self.labels_axes,
            "workspace": str(self.workspace.folder),
        }

    @property
    def is_shown(self) -> bool:
        """Whether the layer holds the workspace's labels, not an array that another program put there."""
        return self.labels_layer.data is self.data

    def restore_data(self) -> None:
        """Give the layer the workspace's labels (again)."""
        if not self.is_shown:
            self.labels_layer.data = self.data
        self.labels_layer.editable = not self.workspace.read_only

    def new_object(self) -> None:
        """Paint with an id that no object has or had."""
        self.labels_layer.selected_label = self.workspace.next_id

    def layer_verified(self) -> Any:
        """Return what is verified as an array that fits the Labels layer: see `Workspace.layer_verified`."""
        return self.workspace.layer_verified(self.extra_axes)

    def refresh(self) -> None:
        """Show what the workspace holds now, in the visible plane."""
        self.labels_layer.refresh(extent=False, thumbnail=False, highlight=False)

    def image_is_gone(self) -> None:
        """Go on without the image, whose layers hold other pixels."""
        self.image_layers = ()

    def lose_image(self, layer: Any) -> None:
        """Go on without an image layer that was removed."""
        self.image_layers = tuple(own for own in self.image_layers if not same_layer(own, layer))

    def takes_back(self, layer: napari.layers.Image, path: Any) -> bool:
        """Whether an image layer that was added is this correction's image, or a channel of it; if so, it is again."""
        if path is None or path != self._file or tuple(full_resolution(layer).shape) != self._shape:
            return False
        channel = _channel_of(layer)
        if self.image_layers and (channel is None or channel in map(_channel_of, self.image_layers)):
            return False
        self.image_layers = tuple(sorted((*self.image_layers, layer), key=lambda own: _channel_of(own) or 0))
        return True

    # How it is

    def look(self) -> bool:
        """Return whether anything was changed since the last call; note when everything reached the disk."""
        made, on_disk = self.workspace.changes
        has_changed = made != self._seen
        if on_disk != self._on_disk:
            self._saved_at = time.monotonic()
        self._seen, self._on_disk = made, on_disk
        if has_changed:
            self.follow_origin()
        return has_changed

    def new_trouble(self) -> FileWriteError | bool | None:
        """Return the error when saving has begun to fail, False when it works again, None when nothing is new."""
        before, self._trouble = self._trouble, self.workspace.trouble
        if (before is None) == (self._trouble is None):
            return None
        return self._trouble if self._trouble is not None else False

    @property
    def state(self) -> str:
        """One line about saving, for the user."""
        if self.is_free:
            return (
                "Read-only, but nobody else has it open any more: to change something, remove the layer "
                f"'{self.labels_layer.name}' and correct the image again."
            )
        if self.workspace.read_only:
            return f"Read-only: {self.workspace.read_only_reason}."
        if self.workspace.trouble is not None:
            return f"Not saved: {self.workspace.trouble}."
        if self.busy:
            return self.busy
        if self._on_disk < self._seen:
            return "Saving…"
        return f"Saved {ago(time.monotonic() - self._saved_at)}."


def _channel_of(layer: Any) -> int | None:
    """Return which channel of its file a layer is; None for whole images."""
    return layer.metadata.get(METADATA_KEY, {}).get("channel")


def unwrapped(thing: Any) -> Any:
    """Return a layer or viewer itself: plugins are given proxies, which forbid what this package may do."""
    return getattr(thing, "__wrapped__", thing)


def same_layer(layer: Any, other: Any) -> bool:
    """Whether two names stand for one layer: plugins are given proxies of them."""
    return layer is not None and other is not None and layer.unique_id == other.unique_id


def ago(seconds: float) -> str:
    """Return ``just now``, ``20 s ago``, ``4 min ago``."""
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"
