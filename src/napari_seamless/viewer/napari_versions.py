"""Where napari keeps what this package asks for: 0.9 moved the camera and the canvas to places of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari


def camera_of(viewer: napari.Viewer) -> Any:
    """Return the camera model."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def canvas_size(viewer: napari.Viewer) -> tuple[int, int]:
    """Return height and width of the canvas in pixels."""
    if hasattr(viewer, "canvas"):
        return tuple(viewer.canvas.size)
    # Before 0.9 it has a private name only, of which the proxy that plugins are given warns.
    return tuple(getattr(viewer, "__wrapped__", viewer)._canvas_size)


def shows_grid(viewer: napari.Viewer) -> bool:
    """Whether layers are shown side by side."""
    grid = viewer.canvas.grid if hasattr(viewer, "canvas") else viewer.grid
    return bool(grid.enabled)
