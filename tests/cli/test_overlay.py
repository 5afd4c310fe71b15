"""The picture of a result: image on the left, labels in colours with contours on the right."""

from pathlib import Path

import numpy as np
import pytest
from imagecodecs import png_decode

from napari_seamless.cli.overlay import GAP, side_by_side, write_png


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((20, 30), dtype=np.uint16)
    labels[5:15, 5:15] = 1
    labels[5:15, 15:25] = 2
    return labels


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)], ids=["grey", "RGB"])
def test_left_half_is_the_image_and_right_half_marks_the_labels(labels: np.ndarray, shape: tuple[int, ...]) -> None:
    image = np.full(shape, 90, dtype=np.uint8)
    picture = side_by_side(image, labels)
    left, gap, right = picture[:, :30], picture[:, 30 : 30 + GAP], picture[:, 30 + GAP :]
    assert (left == 90).all()
    assert (gap == 255).all()
    assert (right[5, 5:25] == (255, 255, 0)).all(), "the contour is yellow"
    assert (right[0] == 90).all(), "the background stays as it is"
    first, second = right[10, 10], right[10, 20]
    assert (first != 90).any()
    assert (first != second).any(), "objects that touch have colours of their own"


def test_without_objects_the_halves_are_the_same() -> None:
    image = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    picture = side_by_side(image, np.zeros((16, 24), dtype=np.uint16))
    assert (picture[:, :24] == picture[:, 24 + GAP :]).all()


def test_png_holds_the_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "picture.png", pixels[:, ::-1])
    assert (png_decode((tmp_path / "picture.png").read_bytes()) == pixels[:, ::-1]).all()
