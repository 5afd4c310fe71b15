"""Importing torch, and what builds on it, while a viewer is open, without freezing it.

A plain ``import torch`` in a worker thread stops the event loop several times for 0.1 to 0.3 s, because Python's lock
is held while half a gigabyte of libraries is mapped and relocated, and while the garbage collector, woken by the many
new objects, walks over everything napari has made. Both are avoided here.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

_ENGINE = "napari_seamless.inference.run"
_LINUX_LIBRARIES = ("libtorch_global_deps.so", "libtorch_cpu.so", "libtorch_python.so")


def load_engine() -> None:
    """Import torch and the inference room; to be called in a worker thread. Costs nothing after the first time."""
    if "torch" not in sys.modules and sys.platform == "linux":
        _map_libraries()
    if _ENGINE not in sys.modules:
        with _without_garbage_collection():
            importlib.import_module(_ENGINE)


def load_what_labels_need() -> None:
    """Let napari import what it imports at the first Labels layer (pandas, for one), which takes it a second."""
    from napari.layers import Labels

    with _without_garbage_collection():
        Labels(np.zeros((1, 1), np.uint8))


def _map_libraries() -> None:
    """Load torch's libraries through a foreign call, during which Python's lock is free.

    Importing torch then finds them in memory. A library that cannot be loaded here is left to that import, which
    raises the error that belongs to it.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return
    folder = Path(spec.submodule_search_locations[0]) / "lib"
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype = ctypes.c_void_p
    for name in _LINUX_LIBRARIES:
        # The first one is opened like torch does: it makes the libraries that the others need visible to them.
        visibility = os.RTLD_GLOBAL if name == _LINUX_LIBRARIES[0] else os.RTLD_LOCAL
        dlopen(os.fsencode(folder / name), ctypes.c_int(os.RTLD_LAZY | visibility))


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
