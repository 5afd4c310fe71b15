"""Ways to run the network on one tile: ours, torch.compile, ONNX Runtime and OpenVINO, in turns.

    pip install onnx onnxscript onnxruntime openvino      # any of them may be missing: the table says so
    python benchmarks/speed/backends.py [--side 1024] [--turns 5] [--networks "U-Net,UNet++ L4"] [--only TEXT]

All get the same folded weights and the same tile, and compute what its inner region depends on, as a run does (with
``--whole`` the logits of the whole tile). The table shows medians; processor time as well, since that is what a busy
machine disturbs least; and the share of pixels whose class is ours in float32. Making a network ready (exporting,
compiling) is timed once, and not part of a turn.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from cases import CASES, Case
from numpy.typing import NDArray
from torch import nn

from napari_seamless.inference.allocator import warm_memory
from napari_seamless.inference.predictor import Predictor
from napari_seamless.networks.geometry import geometry

Logits = NDArray[np.float32]
Forward = Callable[[], Logits]
WARM_UPS = 2


@dataclass
class Backend:
    """One way to run the network, and what was found of it."""

    name: str
    forward: Forward
    ready_seconds: float
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    agreement: float = 0.0


def tile_for(side: int) -> Logits:
    """Return smooth structure under noise, (1, 1, side, side) float32, about 0 to 1."""
    grid = np.linspace(0, 20 * np.pi, side)
    noise = np.random.default_rng(0).normal(0, 0.1, (side, side))
    return (0.5 + 0.4 * np.outer(np.sin(grid), np.cos(grid)) + noise).astype(np.float32)[None, None]


class Wanted(nn.Module):
    """The network of a predictor, asked for a part of its output."""

    def __init__(self, network: nn.Module, wanted: tuple[tuple[int, int], ...] | None) -> None:
        super().__init__()
        self.network, self.wanted = network, wanted

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits, (N, C, *spatial)."""
        logits: torch.Tensor = self.network(batch, None, self.wanted)
        return logits


@dataclass(frozen=True)
class Task:
    """What every back end gets."""

    case: Case
    tile: Logits
    whole: bool

    def network(self, precision: str, *, fused: bool = False) -> tuple[nn.Module, torch.Tensor]:
        """Return the prepared network and its input."""
        model, side = self.case.model(), self.tile.shape[-1]
        made = Predictor(model, level=self.case.level, device="cpu", precision=precision, fused=fused)
        halo = geometry(model.config, self.case.level).halo
        wanted = None if self.whole else tuple((margin, side - margin) for margin in halo)
        batch = torch.from_numpy(self.tile).to(made.dtype).contiguous(memory_format=made.memory_format)
        return Wanted(made.network, wanted), batch


def _ours(task: Task, precision: str) -> Forward:
    network, batch = task.network(precision, fused=True)

    def run() -> Logits:
        with torch.inference_mode():
            logits: Logits = network(batch).float().numpy()
            return logits

    return run


def _compiled(task: Task, precision: str) -> Forward:
    import torch._inductor.config as inductor

    inductor.freezing = True
    network, batch = task.network(precision)
    compiled = torch.compile(network)

    def run() -> Logits:
        with torch.no_grad():
            logits: Logits = compiled(batch).float().numpy()
            return logits

    return run


def _exported(task: Task, precision: str, folder: Path) -> Path:
    network, batch = task.network(precision)
    path = folder / f"{precision}.onnx"
    torch.onnx.export(network, (batch.contiguous(),), str(path), dynamo=True, external_data=False, verbose=False)
    return path


def _onnxruntime(task: Task, precision: str, folder: Path) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    model = str(_exported(task, precision, folder))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    if precision != "bf16":
        return lambda: session.run(None, {name: task.tile})[0]
    import ml_dtypes

    halved = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(task.tile.astype(ml_dtypes.bfloat16), 16)
    return lambda: session.run_with_ort_values(None, {name: halved})[0].numpy().astype(np.float32)


def _openvino(task: Task, precision: str, folder: Path) -> Forward:
    import openvino

    hint = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}[precision]
    model = openvino.Core().read_model(_exported(task, "fp32", folder))
    model.reshape(list(task.tile.shape))
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    return lambda: np.array(request.infer([task.tile])[0], np.float32)


def ways(task: Task, folder: Path) -> dict[str, Callable[[], Forward]]:
    """Return what makes each back end ready, by name; ours in float32 comes first: the others are compared with it."""
    return {
        "ours, fp32": lambda: _ours(task, "fp32"),
        "ours, bf16": lambda: _ours(task, "bf16"),
        "torch.compile with freezing, fp32": lambda: _compiled(task, "fp32"),
        "torch.compile with freezing, bf16": lambda: _compiled(task, "bf16"),
        "ONNX Runtime, fp32": lambda: _onnxruntime(task, "fp32", folder),
        "ONNX Runtime, bf16": lambda: _onnxruntime(task, "bf16", folder),
        "OpenVINO, fp32": lambda: _openvino(task, "fp32", folder),
        "OpenVINO, bf16": lambda: _openvino(task, "bf16", folder),
    }


def measure(task: Task, turns: int, only: str) -> tuple[list[Backend], dict[str, str]]:
    """Return what was found of every back end, and why others are missing."""
    backends: list[Backend] = []
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, warm_memory():
        for name, make in ways(task, Path(folder)).items():
            if only not in name and not name.startswith("ours"):
                continue
            start = time.perf_counter()
            try:
                forward = make()
                for _ in range(WARM_UPS):
                    forward()
            except Exception as error:  # a back end that is missing or does not work here is shown as such
                missing[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
                continue
            backends.append(Backend(name, forward, time.perf_counter() - start))
            print(f"{task.case.name}: {name} is ready after {backends[-1].ready_seconds:.0f} s", flush=True)
        _take_turns(backends, turns)
    return backends, missing


def _take_turns(backends: list[Backend], turns: int) -> None:
    expected = backends[0].forward().argmax(1)
    for backend in backends:
        backend.agreement = float((backend.forward().argmax(1) == expected).mean())
    for _ in range(turns):
        for backend in backends:
            wall, processor = time.perf_counter(), time.process_time()
            backend.forward()
            backend.wall.append(time.perf_counter() - wall)
            backend.processor.append(time.process_time() - processor)


def table(backends: list[Backend], missing: dict[str, str], pixels: int) -> str:
    """Return the results as a Markdown table."""
    ours = {backend.name.split(", ")[1]: backend for backend in backends if backend.name.startswith("ours")}
    titles = ("back end", "Mpx/s", "processor s a pass", "ours : it", "classes as ours in fp32", "s to get ready")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for backend in backends:
        reference = ours[backend.name.rsplit(", ", 1)[1]]
        ratios = [a / b for a, b in zip(reference.processor, backend.processor, strict=True)]
        cells: list[Any] = [backend.name, f"{pixels / median(backend.wall) / 1e6:.3f}"]
        cells += [f"{median(backend.processor):.2f}", f"{median(ratios):.2f}", f"{backend.agreement:.3%}"]
        lines.append("| " + " | ".join([*cells, f"{backend.ready_seconds:.0f}"]) + " |")
    lines += [f"| {name} | {reason} | | | | |" for name, reason in missing.items()]
    return "\n".join(lines)


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--whole", action="store_true", help="compute the whole tile, not what its inner region needs")
    parser.add_argument("--networks", default="U-Net,UNet++ L4")
    parser.add_argument("--only", default="", help="back ends whose name holds this text, beside ours")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    for case in CASES:
        if case.name in chosen.networks.split(","):
            task = Task(case, tile_for(chosen.side), chosen.whole)
            backends, missing = measure(task, chosen.turns, chosen.only)
            print(f"\n{case.name}, {chosen.side} x {chosen.side}, threads: {torch.get_num_threads()}\n")
            print(table(backends, missing, chosen.side**2), flush=True)


if __name__ == "__main__":
    main()
