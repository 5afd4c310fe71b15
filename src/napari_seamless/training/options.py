"""What can be chosen about a training run, with defaults that work on the first try."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from napari_seamless.errors import TrainingError
from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.target_options import TargetOptions

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Optimiser = Literal["adamw", "sgd"]
Loss = Literal["dice_cross_entropy", "cross_entropy", "dice", "bce_dice"]
ClassWeights = Literal["none", "balanced"] | tuple[float, ...]
DeepSupervision = Literal["equal", "ramp", "compounding"]

DEFAULT_EPOCHS = 40


@dataclass(frozen=True)
class TrainingOptions:
    """How long and how to train.

    Attributes
    ----------
    seconds, epochs, steps : float, int, int, optional
        The budget; with several, whichever ends first. With none, 40 epochs. A last validation comes on top of the
        seconds.
    until_stopped : bool
        No budget at all: the learning rate stays at its highest after the warm-up, and `should_stop` or `patience` end
        the run.
    steps_per_epoch : int, optional
        Optimiser steps between two validations; by default as many as it takes to see every training pixel once, at
        least 20 and at most 200.
    patch_size : tuple of int, optional
        Pixels per spatial axis; by default 192 in 2D and 32 x 64 x 64 in 3D, fitted to the network and to the memory.
    batch_size : int, optional
        Patches a step; by default 8 in 2D and 2 in 3D, fewer where the memory is small.
    optimiser : {"adamw", "sgd"}
        "sgd" has the momentum of the U-Net paper, 0.99; a learning rate of 1e-2 is a good start for it, since gradients
        are limited.
    learning_rate : float
        The highest one, after a warm-up and before the cosine decay to 1 % of it.
    encoder_rate : float
        Factor on the learning rate of the contracting path, the nodes x_{i,0}; 0 freezes them, with the statistics of
        their batch norm.
    freeze_norm : bool
        Batch norm keeps the running statistics that it has: they are used instead of the batch's own, and not updated.
    weight_decay : float
    average_decay : float
        Decay a step of the moving average of the weights that is validated and kept; 0 = no averaging.
    gradient_limit : float
        Gradients are scaled down to this norm.
    loss : {"dice_cross_entropy", "cross_entropy", "dice", "bce_dice"}
        See `losses`; "bce_dice" is that of UNet++.
    class_weights : {"none", "balanced"} or tuple of float
        How much each class counts in the cross entropy; "balanced": by the inverse of its share of the pixels.
    deep_supervision : {"equal", "ramp", "compounding"}
        How much the shallower heads of a UNet++ count beside the deepest; see `losses.auxiliary_weight`. What has
        decayed away cannot be pruned to.
    validation_fraction : float
        Share of the image groups that is set aside.
    patience : int, optional
        Stop after so many epochs without improvement; None = never. By default a quarter of the epochs, at least 10;
        never for a budget of seconds or steps, whose learning rate only falls at its end.
    checkpoint_seconds : float
        A run with a checkpoint writes it at least so often.
    seed : int
        Of weights, patches, augmentation and split. On the CPU a run limited by epochs or steps repeats exactly.
    precision : {"auto", "fp32", "bf16", "fp16"}
        "auto": half precision where the device computes it natively.
    device : str
        "auto", "cpu", "cuda", "cuda:0", "mps".
    augmentation : AugmentationOptions
    targets : TargetOptions

    Raises
    ------
    TrainingError
        If a value is out of its range, or two of them contradict each other.
    """

    seconds: float | None = None
    epochs: int | None = None
    steps: int | None = None
    until_stopped: bool = False
    steps_per_epoch: int | None = None
    patch_size: tuple[int, ...] | None = None
    batch_size: int | None = None
    optimiser: Optimiser = "adamw"
    learning_rate: float = 2e-3
    encoder_rate: float = 1.0
    freeze_norm: bool = False
    weight_decay: float = 1e-3
    average_decay: float = 0.995
    gradient_limit: float = 1.0
    loss: Loss = "dice_cross_entropy"
    class_weights: ClassWeights = "none"
    deep_supervision: DeepSupervision = "equal"
    validation_fraction: float = 0.15
    patience: int | None = None
    checkpoint_seconds: float = 60.0
    seed: int = 0
    precision: Precision = "auto"
    device: str = "auto"
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    targets: TargetOptions = field(default_factory=TargetOptions)

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_choices()
        self._check_class_weights()
        self._check_budget()

    def _check_numbers(self) -> None:
        for name in ("seconds", "epochs", "steps", "steps_per_epoch", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TrainingError(f"{name} must be more than 0, not {value}")
        for name in ("learning_rate", "gradient_limit"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"{name} must be more than 0, not {getattr(self, name)}")
        for name in ("encoder_rate", "weight_decay", "checkpoint_seconds", "seed"):
            if not getattr(self, name) >= 0:
                raise TrainingError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not 0.0 <= self.average_decay < 1.0:
            raise TrainingError(f"average_decay must be at least 0 and below 1, not {self.average_decay}")
        if not 0.0 < self.validation_fraction <= 0.5:
            raise TrainingError(
                f"validation_fraction must be more than 0 and at most 0.5, not {self.validation_fraction}: "
                "some images must be held out to know which weights are best"
            )

    def _check_choices(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise TrainingError(f"{name} must be one of {list(choices)}, not {getattr(self, name)!r}")

    def _check_class_weights(self) -> None:
        weights = self.class_weights
        if isinstance(weights, tuple):
            if not all(weight >= 0 for weight in weights) or not any(weights):
                raise TrainingError(f"class_weights must be at least 0, and one of them more, not {weights}")
        elif weights not in _WEIGHT_RULES:
            raise TrainingError(
                f"class_weights must be one of {list(_WEIGHT_RULES)} or one number a class, not {weights!r}"
            )
        if weights != "none" and self.loss == "dice":
            raise TrainingError(
                "class_weights act on the cross entropy, which loss 'dice' does not have: leave them out (Dice counts "
                "every class alike), or use loss 'dice_cross_entropy'"
            )

    def _check_budget(self) -> None:
        if not self.until_stopped:
            return
        limits = [name for name in ("seconds", "epochs", "steps") if getattr(self, name) is not None]
        if limits:
            raise TrainingError(f"until_stopped means no limit, but {limits[0]} is one: leave out either")
        if self.deep_supervision != "equal":
            raise TrainingError(
                f"deep_supervision {self.deep_supervision!r} decays over the run, but until_stopped has no end: use "
                "'equal', or a budget"
            )

    @property
    def epoch_limit(self) -> int | None:
        """Number of epochs, None when something else limits the run, or nothing."""
        if self.epochs is None and self.seconds is None and self.steps is None and not self.until_stopped:
            return DEFAULT_EPOCHS
        return self.epochs

    @property
    def is_counted(self) -> bool:
        """Whether the run is limited by epochs or steps, and so repeats exactly."""
        return self.epoch_limit is not None or self.steps is not None

    @property
    def epochs_of_patience(self) -> int | None:
        """After how many epochs without improvement to stop; None = never."""
        if self.patience is not None or self.epoch_limit is None:
            return self.patience
        return max(10, self.epoch_limit // 4)


_WEIGHT_RULES = ("none", "balanced")
_CHOICES: dict[str, tuple[str, ...]] = {
    "optimiser": get_args(Optimiser),
    "loss": get_args(Loss),
    "deep_supervision": get_args(DeepSupervision),
    "precision": get_args(Precision),
}
