"""The whole loop through the real widgets: segment, correct, fine-tune in a child process, adopt, segment again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

import napari_seamless as ns
from tests.training.conftest import discs

SCRIPT = Path(__file__).parents[2] / "examples" / "correct_and_finetune.py"
CONFIG = ns.NetworkConfig(architecture="unetpp", in_channels=1, out_channels=3, features=(8, 16), deep_supervision=True)


def test_corrections_make_the_model_better_and_stay_what_they_are(tmp_path):
    data, out, library = tmp_path / "data", tmp_path / "out", tmp_path / "library"
    for part in ("images", "labels"):
        (data / part).mkdir(parents=True)
    for number in range(5):
        image, labels = discs(number, (128, 128), 14)
        tifffile.imwrite(data / "images" / f"field{number}.tif", image)
        tifffile.imwrite(data / "labels" / f"field{number}.tif", labels)
    ns.save_model(ns.create_model(CONFIG, task="instances", name="untrained"), library / "untrained")
    command = [sys.executable, str(SCRIPT), "--data", str(data), "--out", str(out), "--model", "untrained"]
    run = subprocess.run(
        [*command, "--seconds", "8", "--fields", "5", "--side", "64"],
        env={**os.environ, "NAPARI_SEAMLESS_MODELS": str(library)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["verified_unchanged"]
    assert result["iou_after"] > result["iou_before"] + 0.2
    # The adopted model is found by its name, and knows where it comes from.
    adopted = ns.load_model(str(library / "untrained-2"))
    assert adopted.parent == "untrained"
    (workspace,) = out.glob("*.seamless")
    assert np.any([path.name == "untrained-2" for path in (workspace / "models").iterdir()])
