"""What can be chosen about a training run, with defaults that work on the first try."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from napari_seamless.errors import TrainingError
from napari_seamless.training.augmentation import AugmentationOptions

Precision = Literal["auto", "fp32", "bf16"]

DEFAULT_EPOCHS = 40


@dataclass(frozen=True)
class TrainingOptions:
    """How long and how to train.

    Attributes
    ----------
    seconds, epochs : float, int, optional
        The budget; with both, whichever ends first. With neither, 40 epochs. A last validation comes on top of the
        seconds.
    steps_per_epoch : int, optional
        Optimiser steps between two validations; by default as many as it takes to see every training pixel once, at
        least 20 and at most 200.
    patch_size : tuple of int, optional
        Pixels per spatial axis; by default 192 in 2D and 32 x 64 x 64 in 3D, fitted to the network.
    batch_size : int, optional
        Patches a step; by default 8 in 2D and 2 in 3D.
    learning_rate : float
        The highest one of AdamW, after a warm-up and before the cosine decay to 1 % of it.
    weight_decay : float
    average_decay : float
        Decay a step of the moving average of the weights that is validated and kept; 0 = no averaging.
    gradient_limit : float
        Gradients are scaled down to this norm.
    validation_fraction : float
        Share of the image groups that is set aside.
    patience : int, optional
        Stop after so many epochs without improvement; None = never. By default a quarter of the epochs, at least 10;
        never for a budget of seconds, whose learning rate only falls at its end.
    seed : int
        Of weights, patches, augmentation and split. On the CPU a run limited by epochs repeats exactly.
    precision : {"auto", "fp32", "bf16"}
        "auto": bfloat16 where the device computes it natively.
    device : str
        "auto", "cpu", "cuda", "cuda:0", "mps".
    augmentation : AugmentationOptions

    Raises
    ------
    TrainingError
        If a value is out of its range.
    """

    seconds: float | None = None
    epochs: int | None = None
    steps_per_epoch: int | None = None
    patch_size: tuple[int, ...] | None = None
    batch_size: int | None = None
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    average_decay: float = 0.995
    gradient_limit: float = 1.0
    validation_fraction: float = 0.15
    patience: int | None = None
    seed: int = 0
    precision: Precision = "auto"
    device: str = "auto"
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)

    def __post_init__(self) -> None:
        for name in ("seconds", "epochs", "steps_per_epoch", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TrainingError(f"{name} must be more than 0, not {value}")
        for name in ("learning_rate", "gradient_limit"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"{name} must be more than 0, not {getattr(self, name)}")
        if not 0.0 <= self.average_decay < 1.0:
            raise TrainingError(f"average_decay must be at least 0 and below 1, not {self.average_decay}")
        if not 0.0 < self.validation_fraction <= 0.5:
            raise TrainingError(
                f"validation_fraction must be more than 0 and at most 0.5, not {self.validation_fraction}: "
                "some images must be held out to know which weights are best"
            )
        if self.precision not in get_args(Precision):
            raise TrainingError(f"precision must be one of {list(get_args(Precision))}, not {self.precision!r}")

    @property
    def epoch_limit(self) -> int | None:
        """Number of epochs, None when only the time is limited."""
        if self.epochs is None and self.seconds is None:
            return DEFAULT_EPOCHS
        return self.epochs

    @property
    def epochs_of_patience(self) -> int | None:
        """After how many epochs without improvement to stop; None = never."""
        if self.patience is not None or self.epoch_limit is None:
            return self.patience
        return max(10, self.epoch_limit // 4)
