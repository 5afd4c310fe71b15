"""How long a network takes on the device at hand: measured once, on a small input, and remembered."""

from __future__ import annotations

import time
from statistics import median
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from napari_seamless.inference.prepared import prepared_predictor
from napari_seamless.models.model import Model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry

CALIBRATION_PIXELS = {2: 2**17, 3: 2**17}
"""Pixels of the trial input, about: enough to fill the machine, small enough for an instant."""

_REPEATS = 3
_known: dict[tuple[object, ...], float] = {}
_lock = Lock()


def seconds_per_pixel(model: Model, level: int, device: str, precision: str, *, keep_heads: bool = False) -> float:
    """Return the seconds a network needs per pixel of its input, median of a few trials after a warm-up.

    Remembered for the same architecture, level, device, precision and number of threads as long as the process lives.
    """
    key = (model.config, level, device, precision, keep_heads, torch.get_num_threads())
    with _lock:
        if key not in _known:
            _known[key] = _measure(model, level, device, precision, keep_heads)
        return _known[key]


def trial_input(config: NetworkConfig, level: int) -> NDArray[np.float32]:
    """Return zeros, (C, *outer), of about `CALIBRATION_PIXELS`, that the network takes at `level`."""
    side = round(CALIBRATION_PIXELS[config.spatial_dims] ** (1 / config.spatial_dims))
    found = geometry(config, level)
    inner = [max(1, side - 2 * halo) for halo in found.halo]
    return np.zeros((config.in_channels, *found.input_sizes(inner)), np.float32)


def _measure(model: Model, level: int, device: str, precision: str, keep_heads: bool) -> float:
    predictor = prepared_predictor(model, level=level, device=device, precision=precision, keep_heads=keep_heads)
    outer = trial_input(model.config, level)
    seconds = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        predictor(outer)
        seconds.append(time.perf_counter() - start)
    return float(median(seconds[1:])) / int(outer[0].size)
