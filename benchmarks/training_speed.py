"""Optimiser steps a second: this package's training against a plain PyTorch loop over the same network, in turns.

Ours is everything that a run does in a step: bf16 where the processor has it, channels_last, Dice and cross entropy on
all heads, clipped gradients, AdamW, the moving average of the weights. The plain loop is what a tutorial would write:
float32, cross entropy on all heads, AdamW. Both see the same patches, made up beforehand. The turns alternate, A B A B,
so that a busy moment of the machine meets both.

Usage: python benchmarks/training_speed.py [--turns 5] [--steps 3] [--patch 256] [--batch 4] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from napari_seamless.inference.devices import resolve_device, resolve_precision
from napari_seamless.models.model import Model, create_model
from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.training.learner import Batch, Learner
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.setup import TrainingSetup

FEATURES = (32, 64, 128, 256, 512)
Step = Callable[[], object]


def our_step(model: Model, batch: Batch, device: str) -> tuple[Step, str]:
    """Return one step of this package's training, and its precision."""
    precision = resolve_precision("auto", device)
    setup = TrainingSetup(
        model=model,
        drawer=None,  # type: ignore[arg-type]  # patches are made beforehand
        validation=[],
        notices=(),
        batch_size=len(batch[0]),
        steps_per_epoch=1,
        crop=(0, 0),
        device=device,
        precision=precision,
    )
    learner = Learner(setup, TrainingOptions(device=device))
    return lambda: learner.step(batch, 1e-3, 1.0), precision


def plain_step(model: Model, batch: Batch, device: str) -> Step:
    """Return one step of a plain float32 loop."""
    network = build_network(model.config).to(device).train()
    network.load_state_dict(model.network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    entropy = torch.nn.CrossEntropyLoss()
    pixels, target, _ = batch

    def step() -> float:
        heads = network.heads(torch.from_numpy(pixels).to(device))
        truth = torch.from_numpy(target).to(device)
        loss = torch.stack([entropy(logits, truth) for logits in heads.values()]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def seconds_per_step(step: Step, steps: int) -> float:
    """Return the mean of some steps."""
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - began) / steps


def main() -> None:
    """Measure, print a table, and write the numbers if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps a turn")
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()

    device = resolve_device(chosen.device)
    model = create_model(NetworkConfig(architecture="unetpp", features=FEATURES))
    random = np.random.default_rng(0)
    shape = (chosen.batch, chosen.patch, chosen.patch)
    pixels = random.random((chosen.batch, 1, chosen.patch, chosen.patch), np.float32)
    batch = (pixels, random.integers(0, 2, shape), np.ones(shape, np.float32))
    ours, precision = our_step(model, batch, device)
    steps = {f"ours, {precision}": ours, "plain loop, fp32": plain_step(model, batch, device)}
    for step in steps.values():
        step()  # warms up
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(chosen.turns):
        for name, step in steps.items():
            seconds[name].append(seconds_per_step(step, chosen.steps))
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    first, second = medians.values()
    names = "-".join(map(str, FEATURES))
    print(f"UNet++ {names}, {chosen.batch} patches of {chosen.patch} x {chosen.patch}, {device}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}")
    print("\n| | steps a second, median | slowest and fastest turn |\n|---|---|---|")
    for name, taken in seconds.items():
        print(f"| {name} | {1 / medians[name]:.3f} | {1 / max(taken):.3f} to {1 / min(taken):.3f} |")
    print(f"\nratio: {second / first:.2f}")
    if chosen.json:
        chosen.json.write_text(json.dumps({"seconds_per_step": seconds, "ratio": second / first}, indent=2) + "\n")


if __name__ == "__main__":
    main()
