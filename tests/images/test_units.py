"""Lengths in the spellings that files use."""

from __future__ import annotations

import pytest

from napari_seamless.images.units import micrometres


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.5, "micrometer", 0.5),
        ("0.5", "µm", 0.5),
        (0.5, "μm", 0.5),
        (0.5, "\\u00B5m", 0.5),
        (0.5, "micron", 0.5),
        (350, "nm", 0.35),
        (2, "nanometer", 0.002),
        (0.001, "mm", 1.0),
        (1, "cm", 10000.0),
        (1e-6, "m", 1.0),
        (40, "Å", 0.004),
        (1, "inch", 25400.0),
    ],
)
def test_lengths(value: float | str, unit: str, expected: float) -> None:
    assert micrometres(value, unit) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "unit"),
    [(1.0, "pixel"), (1.0, ""), (1.0, None), (None, "um"), (0.0, "um"), (-1.0, "um"), ("n/a", "um"), ("inf", "um")],
)
def test_what_is_no_length(value: float | str | None, unit: str | None) -> None:
    assert micrometres(value, unit) is None
