"""Small workspaces with chunks of 8 x 8, so that everything crosses chunks, and with no saving behind the back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_seamless.images.image import Image
from napari_seamless.workspace import layout, storage
from napari_seamless.workspace.flusher import Flusher
from napari_seamless.workspace.opening import open_workspace
from napari_seamless.workspace.session import Workspace

Opener = Callable[..., Workspace]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "chunk_shape_for", small_chunk_shape)
    monkeypatch.setattr(storage, "BLOCK_SIDE", 16)
    # A test's disk may be slow to sync, and no test pulls the plug: a killed program's writes are kept by the system.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(Flusher, "SECONDS_TO_JOURNAL", 3600.0)


def small_chunk_shape(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    return tuple(min(8, length) if axis in "YX" else 1 for length, axis in zip(shape, axes, strict=True))


def image_of(shape: tuple[int, ...] = (3, 20, 28), axes: str = "ZYX") -> Image:
    return Image.from_array(np.zeros(shape, np.uint8), axes)


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    """Open workspaces that are closed at the end."""
    opened: list[Workspace] = []

    def open_it(image: Image | None = None, folder: Path | None = None, **options: object) -> Workspace:
        workspace = open_workspace(image or image_of(), folder or tmp_path / "cells.seamless", **options)  # type: ignore[arg-type]
        opened.append(workspace)
        return workspace

    yield open_it
    for workspace in opened:
        workspace.close()


@pytest.fixture
def workspace(opener: Opener) -> Workspace:
    return opener()
