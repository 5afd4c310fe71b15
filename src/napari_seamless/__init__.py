"""Segment microscopy images of any size with U-Net and UNet++, without seams.

The public API is imported on first use, so that ``import napari_seamless`` loads neither torch nor Qt.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_seamless.errors import SeamlessError
    from napari_seamless.images.image import Image
    from napari_seamless.images.read import open_image
    from napari_seamless.inference.plan import SegmentationPlan, plan_segmentation
    from napari_seamless.inference.run import predict_probabilities, segment
    from napari_seamless.metrics import evaluate
    from napari_seamless.models.library import list_models, load_model
    from napari_seamless.models.model import Model, create_model
    from napari_seamless.models.package import save_model
    from napari_seamless.networks import build_network
    from napari_seamless.networks.config import NetworkConfig
    from napari_seamless.training.examples import Example
    from napari_seamless.training.finetune import finetune
    from napari_seamless.training.loop import train

__version__ = version("napari-seamless")

_HOME_OF = {
    "Example": "training.examples",
    "Image": "images.image",
    "Model": "models.model",
    "NetworkConfig": "networks.config",
    "SeamlessError": "errors",
    "SegmentationPlan": "inference.plan",
    "build_network": "networks",
    "create_model": "models.model",
    "evaluate": "metrics",
    "finetune": "training.finetune",
    "list_models": "models.library",
    "load_model": "models.library",
    "open_image": "images.read",
    "plan_segmentation": "inference.plan",
    "predict_probabilities": "inference.run",
    "save_model": "models.package",
    "segment": "inference.run",
    "train": "training.loop",
}

__all__ = [
    "Example",
    "Image",
    "Model",
    "NetworkConfig",
    "SeamlessError",
    "SegmentationPlan",
    "build_network",
    "create_model",
    "evaluate",
    "finetune",
    "list_models",
    "load_model",
    "open_image",
    "plan_segmentation",
    "predict_probabilities",
    "save_model",
    "segment",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
