"""The rules between the rooms, each proved in a fresh interpreter: what an import loads, and how long it takes."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest

import napari_seamless

WINDOWS_AND_NETWORKS = {"torch", "napari", "magicgui", "qtpy", "superqt", "PySide6", "PyQt6", "PyQt5"}
WINDOWS = WINDOWS_AND_NETWORKS - {"torch"}

TORCH_FREE = (
    "errors",
    "events",
    "images",
    "objects",
    "metrics",
    "networks.config",
    "networks.geometry",
    "inference.tiles",
    "models.library",
    "cli",
)


def modules_loaded_by(code: str) -> set[str]:
    """Return the top-level packages in ``sys.modules`` after running `code` in a fresh interpreter."""
    report = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    run = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def names_under(room: str) -> list[str]:
    """Return the full names of a room (a module or a package of ours) and of all modules in it."""
    full = f"napari_seamless.{room}"
    folder = getattr(importlib.import_module(full), "__path__", [])
    return [full, *(entry.name for entry in pkgutil.walk_packages(folder, prefix=f"{full}."))]


def test_importing_the_package_loads_neither_torch_nor_qt_nor_napari() -> None:
    loaded = modules_loaded_by("import napari_seamless")
    assert "napari_seamless" in loaded
    assert not loaded & (WINDOWS_AND_NETWORKS | {"numpy", "dask", "zarr"})


def test_importing_the_package_takes_less_than_a_tenth_of_a_second() -> None:
    # Processor time: what others do on the machine meanwhile does not count.
    clock = "import time; start = time.process_time(); import napari_seamless; print(time.process_time() - start)"
    command = [sys.executable, "-c", clock]
    seconds = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(5)]
    assert min(seconds) < 0.1


@pytest.mark.parametrize("room", TORCH_FREE)
def test_room_works_without_torch_and_windows(room: str) -> None:
    imports = "\n".join(f"import {name}" for name in names_under(room))
    assert not modules_loaded_by(imports) & WINDOWS_AND_NETWORKS


def test_only_the_viewer_knows_napari_and_qt() -> None:
    rooms = [entry.name for entry in pkgutil.iter_modules(napari_seamless.__path__) if entry.name != "viewer"]
    assert {"images", "networks", "models", "objects", "inference", "training", "cli"} <= set(rooms)
    imports = "\n".join(f"import {name}" for room in rooms if room != "__main__" for name in names_under(room))
    assert not modules_loaded_by(imports) & WINDOWS


def test_cli_and_viewer_never_import_each_other() -> None:
    report = "assert not [name for name in sys.modules if name.startswith('napari_seamless.viewer')]"
    imports = "\n".join(f"import {name}" for name in names_under("cli"))
    subprocess.run([sys.executable, "-c", f"import sys\n{imports}\n{report}"], check=True)
