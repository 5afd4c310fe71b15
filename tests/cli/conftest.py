"""What the command-line tests share: a way to run it, tiny models and images made in code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from napari_seamless.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What a run of the command line gave back."""

    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process, with any number of words, and return its `Answer`."""

    def run_words(*words: object) -> Answer:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["napari-seamless", *map(str, words)])
        code = main()
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run_words


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start the command line in a process of its own."""

    def start_words(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "napari_seamless", *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start_words


def _saved_model(folder: Path, name: str, *, task: str, input_kind: str, **network: object) -> Path:
    from napari_seamless.models.model import create_model
    from napari_seamless.models.package import save_model
    from napari_seamless.networks.config import NetworkConfig
    from napari_seamless.objects.instances import InstanceRule

    # Untrained probabilities lie around 1/3 for three classes: lower thresholds let them make dozens of objects.
    rule = InstanceRule(foreground_threshold=0.4, core_threshold=0.4) if task == "instances" else None
    config = NetworkConfig(architecture="unetpp", features=(4, 8, 16), **network)
    model = create_model(config, task=task, seed=5, name=name, input_kind=input_kind, instance_rule=rule)
    return save_model(model, folder / name)


@pytest.fixture(scope="session")
def semantic_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained 2D model of two classes, saved."""
    return _saved_model(tmp_path_factory.mktemp("models"), "tiny-semantic", task="semantic", input_kind="grey")


@pytest.fixture(scope="session")
def instance_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained 2D model of objects, saved."""
    folder = tmp_path_factory.mktemp("models")
    return _saved_model(folder, "tiny-instances", task="instances", input_kind="grey", out_channels=3)


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained 2D model of objects that is fed red, green and blue, saved."""
    folder = tmp_path_factory.mktemp("models")
    return _saved_model(folder, "tiny-colour", task="instances", input_kind="colour", in_channels=3, out_channels=3)


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    """A TIFF of 90 x 110 grey pixels: bright discs on a dark, noisy ground."""
    import tifffile

    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:90, :110]
    pixels = random.normal(100, 5, (90, 110))
    for row, column in ((20, 25), (60, 30), (45, 80)):
        pixels[(rows - row) ** 2 + (columns - column) ** 2 < 120] += 400
    path = tmp_path / "discs.tif"
    tifffile.imwrite(path, pixels.astype(np.uint16))
    return path
