"""Numbers as people read them."""

import pytest

from napari_seamless.cli.units import bytes_text, counted, seconds_text, sizes_text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1.5 * 2**30, "1.5 GiB"), (3 * 2**40, "3.0 TiB")],
)
def test_bytes(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_sizes() -> None:
    assert sizes_text((3, 512, 640)) == "3 x 512 x 640"


def test_counted() -> None:
    assert (counted(0, "tile"), counted(1, "tile"), counted(2, "tile")) == ("0 tiles", "1 tile", "2 tiles")
