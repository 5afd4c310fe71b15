"""What is compared: the same weights and the same image, segmented to labels in every way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

import napari_seamless as ns
from napari_seamless.inference.allocator import warm_memory
from napari_seamless.inference.predictor import Predictor

Contender = Callable[[], None]
OVERLAP = 0.25
WINDOWS_AT_ONCE = 4
WINDOW = {2: 512, 3: 96}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


@dataclass(frozen=True)
class Case:
    """A network at one level, and the size of the image."""

    name: str
    architecture: str
    level: int
    spatial_dims: int
    features: tuple[int, ...]

    def model(self) -> ns.Model:
        """An untrained model: arithmetic takes as long, whatever the weights."""
        config = ns.NetworkConfig(
            architecture=self.architecture, spatial_dims=self.spatial_dims, features=self.features, out_channels=2
        )
        return ns.create_model(config, classes=("background", "cell"), seed=0)

    @property
    def axes(self) -> str:
        """Axes of the image."""
        return "ZYX"[-self.spatial_dims :]


FEATURES = (32, 64, 128, 256, 512)
CASES = (
    Case("U-Net", "unet", 4, 2, FEATURES),
    *(Case(f"UNet++ L{level}", "unetpp", level, 2, FEATURES) for level in (1, 2, 3, 4)),
    Case("3D U-Net", "unet", 3, 3, FEATURES[:4]),
)


def image_for(case: Case, size: int) -> np.ndarray:
    """Noise over a gradient, uint16."""
    shape = (size,) * case.spatial_dims
    noise = np.random.default_rng(0).normal(1000, 100, shape)
    return (noise + np.arange(size)).astype(np.uint16)


def contenders(case: Case, image: np.ndarray, device: str) -> dict[str, Contender]:
    """Return every way to get labels of `image`, by name; the last one is the bare forward pass on our tiles."""
    model = case.model()
    theirs = case.model().network.eval().to(device)
    tuned = case.model().network.eval().to(device).to(memory_format=LAST[case.spatial_dims])
    scaled = torch.from_numpy(((image - image.mean()) / image.std()).astype(np.float32))[None, None]
    options = {"axes": case.axes, "level": case.level, "device": device}
    plan = ns.plan_segmentation(image, model, calibrate=False, **options)
    whole: dict[str, Contender] = {
        "MONAI, default": lambda: _monai(case, theirs, scaled, device),
        "MONAI, tuned": lambda: _monai_tuned(case, tuned, scaled, device),
        "overlap loop": lambda: _loop(case, theirs, scaled, device),
        "ours, fp32": lambda: _ours(image, model, precision="fp32", **options),
        "ours": lambda: _ours(image, model, **options),
        "bare forward": lambda: bare(),
    }
    bare = _bare_forward(model, plan)
    return whole


def _labels(logits: Tensor) -> np.ndarray:
    return logits.float().argmax(1).to("cpu", torch.uint8).numpy()


def _monai(case: Case, network: nn.Module, image: Tensor, device: str) -> None:
    window = (WINDOW[case.spatial_dims],) * case.spatial_dims
    with torch.inference_mode():
        _labels(
            sliding_window_inference(
                image.to(device), window, WINDOWS_AT_ONCE, lambda part: network(part, case.level), overlap=OVERLAP
            )
        )


def _monai_tuned(case: Case, network: nn.Module, image: Tensor, device: str) -> None:
    last = image.to(device).contiguous(memory_format=LAST[case.spatial_dims])
    with torch.autocast(device.split(":")[0], dtype=torch.bfloat16):
        _monai(case, network, last, device)


def _loop(case: Case, network: nn.Module, image: Tensor, device: str) -> None:
    """A loop as people write it: mirror-padded windows that overlap by a quarter, the middle of each kept."""
    window = WINDOW[case.spatial_dims]
    margin = int(window * OVERLAP) // 2
    step = window - 2 * margin
    sizes = image.shape[2:]
    ends = [-(-size // step) * step for size in sizes]
    pads = [length for size, end in zip(sizes, ends, strict=True) for length in (margin, margin + end - size)]
    padded = np.pad(image[0, 0].numpy(), list(zip(pads[::2], pads[1::2], strict=True)), mode="reflect")
    labels = np.empty(ends, np.uint8)
    with torch.inference_mode():
        for index in np.ndindex(*(end // step for end in ends)):
            place = tuple(slice(i * step, i * step + window) for i in index)
            logits = network(torch.from_numpy(padded[place][None, None].copy()).to(device), case.level)
            inner = tuple(slice(margin, window - margin) for _ in index)
            labels[tuple(slice(i * step, (i + 1) * step) for i in index)] = _labels(logits)[0][inner]


def _ours(image: np.ndarray, model: ns.Model, **options: object) -> None:
    with warm_memory():
        ns.segment(image, model, **options)


def _bare_forward(model: ns.Model, plan: ns.SegmentationPlan) -> Contender:
    """The network alone, on the outer regions of the plan's tiles, its input on the device already."""
    predictor = Predictor(model, level=plan.level, device=plan.device, precision=plan.precision)
    shapes = [tile.outer_shape for tile in plan.tiles]
    inputs = {
        shape: torch.zeros((1, 1, *shape), dtype=predictor.dtype, device=predictor.device).contiguous(
            memory_format=predictor.memory_format
        )
        for shape in set(shapes)
    }

    def run() -> None:
        with warm_memory(), torch.inference_mode():
            for shape in shapes:
                predictor.network(inputs[shape])
            if predictor.device.type == "cuda":
                torch.cuda.synchronize(predictor.device)

    return run
