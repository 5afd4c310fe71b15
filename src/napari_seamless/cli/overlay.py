"""A picture that shows at a glance whether labels fit their image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GAP = 8
WHITE = 255
CONTOUR = (1.0, 1.0, 0.0)


def side_by_side(image: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the image, and beside it the image with its labels in colours and with contours.

    Parameters
    ----------
    image : ndarray of uint8, shape (Y, X) or (Y, X, 3)
    labels : ndarray of int, shape (Y, X)
        0 is background.

    Returns
    -------
    ndarray of uint8, shape (Y, 2 X + 8, 3)
    """
    from skimage.color import gray2rgb, label2rgb
    from skimage.segmentation import mark_boundaries

    colours = image if image.ndim == 3 else gray2rgb(image)
    tinted = label2rgb(labels, image=colours, alpha=0.25, bg_label=0, bg_color=None, saturation=1)
    outlined = np.round(mark_boundaries(tinted, labels, color=CONTOUR, mode="inner") * WHITE).astype(np.uint8)
    gap = np.full((image.shape[0], GAP, 3), WHITE, dtype=np.uint8)
    return np.concatenate([colours, gap, outlined], axis=1)


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an RGB picture as PNG."""
    from imagecodecs import png_encode

    path.write_bytes(png_encode(np.ascontiguousarray(pixels)))
