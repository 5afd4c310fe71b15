"""A network made ready to run on one device, in one precision, at one level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_seamless.inference.devices import DTYPES
from napari_seamless.inference.transfer import Transfer
from napari_seamless.models.model import Model
from napari_seamless.networks.fused import fuse
from napari_seamless.networks.nested import NestedNetwork
from napari_seamless.networks.reach import Span

_VECTOR = 64
"""A multiple of the float32 values that any CPU works on at once."""

_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


@dataclass(frozen=True)
class Prediction:
    """What a network says about one outer region.

    Attributes
    ----------
    probabilities : ndarray, shape (classes, *spatial), float32
    heads : ndarray, shape (heads, classes, *spatial), float32, or None
        Every head's probabilities, where they were asked for.
    """

    probabilities: NDArray[np.float32]
    heads: NDArray[np.float32] | None = None


class Predict(Protocol):
    """Predicts one outer region, (C, *outer) float32, or the wanted part of its output, as `Predictor` does."""

    def __call__(self, outer: NDArray[np.float32], wanted: Sequence[Span] | None = None) -> Prediction: ...


class Predictor:
    """Runs a model's network on arrays.

    Parameters
    ----------
    model : Model
    level : int
        Only the weights of the nodes that this level needs are read and copied to the device.
    device : str
        As `resolve_device` returns it.
    precision : {"fp64", "fp32", "bf16", "fp16"}
        In which weights and activations are held. Batch norm is folded into the convolutions first, in the network's
        own precision; class probabilities are computed in float32 (or float64).
    accurate : bool
        Mean of all heads instead of the one at `level`.
    keep_heads : bool
        Also return every head's probabilities.
    fused : bool
        Let oneDNN compute convolution and ReLU in one step where it can (CPU, float32 and bf16): the same numbers,
        faster. False: the plain modules, the reference.
    cut : bool
        Let every node compute only what the wanted part of the output depends on: the same numbers, faster. False:
        whole tiles, the reference.

    Attributes
    ----------
    network : NestedNetwork
        As it is run.
    levels : tuple of int
        The heads that are run, the deepest last.
    """

    def __init__(
        self,
        model: Model,
        *,
        level: int,
        device: str,
        precision: str,
        accurate: bool = False,
        keep_heads: bool = False,
        fused: bool = True,
        cut: bool = True,
    ) -> None:
        self.accurate = accurate
        self.keep_heads = keep_heads
        self.cut = cut
        self.device = torch.device(device)
        self.dtype = DTYPES[precision]
        self.memory_format = _CHANNELS_LAST[model.config.spatial_dims]
        self.network = _prepared(model.network_at(level)).to(self.device, self.dtype)
        self.network.to(memory_format=self.memory_format)  # type: ignore[call-overload]  # torch's stubs lack it
        self.is_fused = fused and fuse(self.network)
        heads = tuple(sorted(int(head) for head in self.network.classifiers))
        self.levels = heads if accurate or keep_heads else heads[-1:]
        self.transfer = Transfer(self.device, self.dtype, self.memory_format)

    def __call__(self, outer: NDArray[np.float32], wanted: Sequence[Span] | None = None) -> Prediction:
        """Predict one outer region.

        Parameters
        ----------
        outer : ndarray, float32, shape (C, *outer)
        wanted : sequence of (start, stop), optional
            The part of the network's output that is wanted, for each spatial axis; by default all of it. What this
            part does not depend on is not computed, unless the predictor was made with ``cut=False``.
        """
        inside = wanted if self.cut else None
        with torch.inference_mode():
            batch = self.transfer.to_device(outer)
            if len(self.levels) > 1:
                logits = self.network.heads(batch, inside)
            else:
                logits = {self.levels[0]: self.network(batch, None, inside)}
            if wanted is not None and inside is None:
                logits = {level: _part(values, wanted) for level, values in logits.items()}
            return self.prediction_of(logits)

    def prediction_of(self, logits: dict[int, Tensor]) -> Prediction:
        """Return what logits, (1, C, *spatial) by level, say; `logits` is emptied on the way."""
        heads = [probabilities_of(logits.pop(level)) for level in sorted(logits)]
        chosen = sum(heads[1:], start=heads[0]) / len(heads) if self.accurate else heads[-1]
        kept = self.transfer.to_host(torch.cat(heads)) if self.keep_heads else None
        return Prediction(self.transfer.to_host(chosen)[0], kept)


def _part(values: Tensor, spans: Sequence[Span]) -> Tensor:
    for axis, (start, stop) in enumerate(spans, start=2):
        values = values.narrow(axis, start, stop - start)
    return values


def probabilities_of(logits: Tensor) -> Tensor:
    """Return class probabilities, (N, C, ...): softmax, or a sigmoid for a single channel; never in half precision.

    torch computes the last few pixels of an array one by one, and rounds them differently: the pixels are filled up to
    a multiple of `_VECTOR`, so that a pixel's probabilities depend on nothing but its logits.
    """
    n_pixels = prod(logits.shape[2:])
    filled = -(-n_pixels // _VECTOR) * _VECTOR
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    flat = torch.zeros((*logits.shape[:2], filled), dtype=dtype, device=logits.device)
    flat[..., :n_pixels].view(logits.shape).copy_(logits)
    probabilities = flat.softmax(1) if logits.shape[1] > 1 else flat.sigmoid_()
    return probabilities[..., :n_pixels].view(logits.shape)


def _prepared(network: NestedNetwork) -> NestedNetwork:
    """Make a network of one's own ready to run: batch norm folded, no gradients."""
    network.requires_grad_(False)
    for block in network.blocks.values():
        _fold_batch_norm(block)
    return network


def _fold_batch_norm(block: Any) -> None:
    layers = list(block)
    for index, (first, second) in enumerate(pairwise(layers)):
        if isinstance(second, nn.BatchNorm2d | nn.BatchNorm3d):
            block[index] = fuse_conv_bn_eval(first, second)
            block[index + 1] = nn.Identity()


def own_precision(model: Model) -> str:
    """Return the precision of the model's network as it is: fp32, or fp64 after ``model.network.double()``."""
    if not model.is_built:
        return "fp32"
    dtype = next(model.network.parameters()).dtype
    return next(name for name, known in DTYPES.items() if known == dtype)
