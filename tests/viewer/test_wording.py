"""Numbers as the viewer says them."""

from __future__ import annotations

import pytest

from napari_seamless.viewer.wording import duration, plan_line, progress_line, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "less than a second"),
        (1.4, "1 s"),
        (89, "89 s"),
        (240, "4 min"),
        (3600, "1 h 0 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("n_bytes", "text"), [(10, "1 MB"), (252e6, "252 MB"), (1.54e9, "1.5 GB")])
def test_size(n_bytes, text):
    assert size(n_bytes) == text


def test_plan_line():
    plan = {"n_tiles": 1200, "tile_size": [512, 512], "peak_bytes": 2e9, "seconds": 300.0, "device": "cuda:0"}
    assert plan_line(plan) == "1,200 tiles of 512 × 512 pixels, 2.0 GB of memory, about 5 min on cuda:0."
    assert plan_line(plan | {"seconds": None}).endswith("2.0 GB of memory on cuda:0.")


def test_progress_line():
    assert progress_line(3, 12, 20.0) == "3 of 12 tiles, 20 s left"
    assert progress_line(0, 1, None) == "0 of 1 tile"
