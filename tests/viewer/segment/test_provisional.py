"""Labels while they are being made."""

from __future__ import annotations

import gc
import shutil
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from napari.layers import Labels

from napari_seamless.errors import FileWriteError
from napari_seamless.viewer.segment import provisional
from napari_seamless.viewer.segment.provisional import ProvisionalLabels, as_preview, fits_memory


@settings(max_examples=25)
@given(arrays(np.uint32, (4, 5), elements=st.integers(0, 2**32 - 1)))
def test_preview_keeps_ground_and_colour(labels):
    preview = as_preview(labels)
    assert preview.dtype == np.uint8
    np.testing.assert_array_equal(preview == 0, labels == 0)
    colormap = Labels(np.zeros((1, 1), np.uint8)).colormap
    np.testing.assert_array_equal(colormap.map(preview), colormap.map(labels))


@pytest.mark.parametrize("on_disk", [False, True])
def test_tiles_are_found_where_they_were_written(on_disk):
    tiles = ProvisionalLabels((3, 8, 9), np.uint32, on_disk)
    block = np.arange(12, dtype=np.uint32).reshape(1, 3, 4) * 1000
    tiles.write((slice(1, 2), slice(2, 5), slice(4, 8)), block)
    expected = np.zeros((3, 8, 9), np.uint32)
    expected[1, 2:5, 4:8] = block[0]
    np.testing.assert_array_equal(tiles.labels, expected)
    np.testing.assert_array_equal(tiles.preview, as_preview(expected))


def test_classes_are_their_own_preview():
    tiles = ProvisionalLabels((8, 9), np.uint8, on_disk=False)
    assert tiles.preview is tiles.labels


def test_files_live_as_long_as_the_labels():
    tiles = ProvisionalLabels((8, 9), np.uint32, on_disk=True)
    folder, labels = tiles.folder, tiles.labels
    del tiles
    gc.collect()
    assert folder.is_dir()
    labels[3, 3] = 5
    del labels
    gc.collect()
    assert not folder.exists()


def test_labels_that_the_disk_cannot_take_are_refused_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**9))
    with pytest.raises(FileWriteError, match=r"they take 5.0 GB and 1.0 GB are free"):
        ProvisionalLabels((1000, 1000, 1000), np.uint32, on_disk=True)
    assert list(tmp_path.iterdir()) == []


def test_more_labels_than_memory_do_not_fit(monkeypatch):
    assert fits_memory((100, 100), np.uint32)
    assert not fits_memory((10**6, 10**6), np.uint32)
    monkeypatch.setattr(provisional, "MEMORY_SHARE", 0.0)
    assert not fits_memory((1, 1), np.uint8)
