"""Peak memory of training steps on the CPU, beside what `training.memory` estimates for them.

Usage: python benchmarks/training_memory.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any

CASES: tuple[dict[str, Any], ...] = (
    {"architecture": "unetpp", "features": (16, 32, 64, 128, 256), "patch": (192, 192), "batch": 8},
    {"architecture": "unetpp", "features": (32, 64, 128, 256, 512), "patch": (192, 192), "batch": 2},
    {"architecture": "unet", "features": (16, 32, 64, 128, 256), "patch": (192, 192), "batch": 8},
    {"architecture": "unetpp", "features": (16, 32, 64), "patch": (32, 64, 64), "batch": 2},
)


def measure(case: dict[str, Any], precision: str) -> tuple[float, float]:
    """Take three steps in this process; return the estimated and the measured MiB."""
    import numpy as np

    from napari_seamless.models.model import create_model
    from napari_seamless.networks.config import NetworkConfig
    from napari_seamless.training.learner import Learner
    from napari_seamless.training.memory import training_bytes
    from napari_seamless.training.options import TrainingOptions
    from napari_seamless.training.setup import TrainingSetup

    patch, batch = tuple(case["patch"]), case["batch"]
    config = NetworkConfig(case["architecture"], len(patch), out_channels=3, features=tuple(case["features"]))
    setup = TrainingSetup(
        model=create_model(config, task="instances"),
        drawer=None,  # type: ignore[arg-type]  # the batch is made here
        validation=[],
        notices=(),
        batch_size=batch,
        steps_per_epoch=1,
        crop=(0,) * len(patch),
        device="cpu",
        precision=precision,
    )
    options = TrainingOptions(precision=precision)  # type: ignore[arg-type]
    random = np.random.default_rng(0)

    def step(learner: Learner, sides: tuple[int, ...], count: int) -> None:
        pixels = random.random((count, 1, *sides), np.float32)
        target = random.integers(0, 3, (count, *sides))
        learner.step((pixels, target, np.ones((count, *sides), np.float32)), 1e-3, 1.0)

    smallest = tuple(32 for _ in patch)
    step(Learner(setup, options), smallest, 1)  # the libraries' own memory
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    learner = Learner(setup, options)
    for _ in range(3):
        step(learner, patch, batch)
    measured = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return training_bytes(config, patch, batch, precision) / 2**20, measured


def main() -> None:
    """Measure every case in a process of its own."""
    if len(sys.argv) == 3:
        print(json.dumps(measure(json.loads(sys.argv[1]), sys.argv[2])))
        return
    print("| network | patch | precision | estimated MiB | measured MiB |\n|---|---|---|---|---|")
    for case in CASES:
        for precision in ("fp32", "bf16"):
            words = [sys.executable, __file__, json.dumps(case), precision]
            answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            estimated, measured = json.loads(answer)
            network = f"{case['architecture']} {'-'.join(map(str, case['features']))}"
            patch = f"{case['batch']} x {' x '.join(map(str, case['patch']))}"
            print(f"| {network} | {patch} | {precision} | {estimated:.0f} | {measured:.0f} |", flush=True)


if __name__ == "__main__":
    main()
