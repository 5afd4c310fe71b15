"""The network that is being trained, with everything that one optimiser step changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_seamless.inference.devices import DTYPES
from napari_seamless.networks import build_network
from napari_seamless.training.losses import deep_supervision_loss
from napari_seamless.training.optimisation import (
    AveragedWeights,
    make_optimiser,
    set_learning_rate,
    set_training_mode,
)
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.setup import TrainingSetup

Batch = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]

_OVERFLOWS_IN_A_ROW = 20
"""So many fp16 steps in a row without a finite loss mean more than a loss scale that has to settle."""


class NotFiniteLossError(ArithmeticError):
    """The loss, or its gradient, became NaN or infinite; the weights are those before the step."""


class Learner:
    """A network in training, its optimiser, loss scaler and averaged weights.

    Parameters
    ----------
    setup : TrainingSetup
    options : TrainingOptions
    class_weights : Tensor, float32, shape (classes,), optional

    Attributes
    ----------
    network : NestedNetwork
        On its device.
    average : AveragedWeights
    """

    def __init__(self, setup: TrainingSetup, options: TrainingOptions, class_weights: Tensor | None = None) -> None:
        config = setup.model.config
        self._options = options
        self._crop = setup.crop
        self._device = torch.device(setup.device)
        self._dtype = DTYPES[setup.precision]
        self._memory_format = torch.channels_last if config.spatial_dims == 2 else torch.channels_last_3d
        self._class_weights = None if class_weights is None else class_weights.to(self._device)
        self.network = build_network(config)
        self.network.load_state_dict(setup.model.network.state_dict())
        self.network.to(self._device).to(memory_format=self._memory_format)  # type: ignore[call-overload]  # not in stubs
        self._optimiser = make_optimiser(self.network, options)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype == torch.float16)
        self._overflows = 0
        self._good_buffers: list[Tensor] = []
        self._remember_buffers()
        self.average = AveragedWeights(self.network, options.average_decay)

    def step(self, batch: Batch, learning_rate: float, auxiliary: float) -> float:
        """Take one optimiser step.

        Parameters
        ----------
        batch : (ndarray, ndarray, ndarray)
            Pixels (N, C, *spatial), class indices (N, *spatial), weights (N, *spatial).
        learning_rate : float
        auxiliary : float
            Weight of the shallower heads.

        Returns
        -------
        float
            The loss before the step. In fp16 it is NaN or infinite where a number overflowed and the step was left out.

        Raises
        ------
        NotFiniteLossError
            If loss or gradient are no numbers; in fp16 only after several such steps in a row.
        """
        set_learning_rate(self._optimiser, learning_rate)
        loss = self._loss(batch, auxiliary)
        value = float(loss.detach())
        if not math.isfinite(value) and not self._scaler.is_enabled():
            raise NotFiniteLossError
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._options.gradient_limit))
        if math.isfinite(value) and math.isfinite(norm):
            self._overflows = 0
        else:
            self._count_overflow()
        self._scaler.step(self._optimiser)  # leaves the step out after an overflow
        self._scaler.update()
        if not self._overflows:
            self._remember_buffers()
            self.average.update(self.network)
        return value

    def _loss(self, batch: Batch, auxiliary: float) -> Tensor:
        pixels, target, weight = (torch.from_numpy(array).to(self._device) for array in batch)
        pixels = pixels.contiguous(memory_format=self._memory_format)
        set_training_mode(self.network, self._options)
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype != torch.float32):
            heads = self.network.heads(pixels)
        inner = tuple(slice(crop, size - crop) for crop, size in zip(self._crop, target.shape[1:], strict=True))
        region = (slice(None), *inner)
        return deep_supervision_loss(
            heads,
            target[region],
            weight[region],
            loss=self._options.loss,
            class_weights=self._class_weights,
            auxiliary=auxiliary,
        )

    def _count_overflow(self) -> None:
        """Forget what an overflow did to the batch-norm statistics; several in a row are no settling any more."""
        self._overflows += 1
        if not self._scaler.is_enabled() or self._overflows >= _OVERFLOWS_IN_A_ROW:
            raise NotFiniteLossError
        for buffer, good in zip(self.network.buffers(), self._good_buffers, strict=True):
            buffer.copy_(good)

    def _remember_buffers(self) -> None:
        if self._scaler.is_enabled():
            self._good_buffers = [buffer.clone() for buffer in self.network.buffers()]

    def tensors(self) -> dict[str, Tensor]:
        """Return what `restore` needs, by name. The tensors are not copied."""
        found = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        found |= {f"average.{name}": value for name, value in self.average.state.items()}
        for index, values in self._optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{index}.{name}": value for name, value in values.items() if value is not None}
        found["random.cpu"] = torch.get_rng_state()
        if self._device.type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state(self._device)
        return found

    def facts(self) -> dict[str, Any]:
        """Return what `restore` needs beside the tensors, as JSON knows it."""
        return {"average_steps": self.average.steps, "scaler": self._scaler.state_dict(), "overflows": self._overflows}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go back to what `tensors` and `facts` said.

        Raises
        ------
        KeyError, RuntimeError
            If they are those of another network.
        """
        self.network.load_state_dict(_under("network.", tensors))
        for name, value in _under("average.", tensors).items():
            self.average.state[name].copy_(value)
        self.average.steps = facts["average_steps"]
        self._restore_optimiser(_under("optimiser.", tensors))
        if facts["scaler"] and self._scaler.is_enabled():
            self._scaler.load_state_dict(facts["scaler"])
        self._overflows = facts["overflows"]
        self._remember_buffers()
        torch.set_rng_state(tensors["random.cpu"])
        if self._device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self._device)

    def _restore_optimiser(self, tensors: Mapping[str, Tensor]) -> None:
        described = self._optimiser.state_dict()
        weights = [value for group in self._optimiser.param_groups for value in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            index, _, name = key.partition(".")
            # In the memory order of its weights, as the optimiser made it: another one may round differently.
            like = weights[int(index)]
            kept = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            state.setdefault(int(index), {})[name] = kept
        self._optimiser.load_state_dict({"state": state, "param_groups": described["param_groups"]})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
