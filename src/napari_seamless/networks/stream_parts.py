"""What a streamed network is made of: planes that wait for their readers, and convolutions that remember two planes.

Tensors are (N, C, *spatial); `dim` is the dimension that is streamed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from napari_seamless.networks.blocks import DoubleConvolution
from napari_seamless.networks.fused import FusedConvolution
from napari_seamless.networks.reach import Span

KEPT = 2
"""Planes that a 3x3 convolution reads again for the planes that come next."""

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, FusedConvolution)
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class PlaneQueue:
    """Consecutive planes of one tensor, from the first that is still wanted to the last that was made.

    Parameters
    ----------
    dim : int
        The dimension that is streamed.
    start : int
        The plane that comes first, on the tensor's own grid.
    """

    def __init__(self, dim: int, start: int) -> None:
        self.dim, self.start, self.stop = dim, start, start
        self._pieces: deque[Tensor] = deque()

    def append(self, planes: Tensor) -> None:
        """Take the next planes."""
        self._pieces.append(planes)
        self.stop += planes.shape[self.dim]

    def pieces(self, span: Span) -> list[Tensor]:
        """Return the planes of a span, as views of the pieces they came in."""
        found: list[Tensor] = []
        first = self.start
        for piece in self._pieces:
            length = piece.shape[self.dim]
            low, high = max(span[0] - first, 0), min(span[1] - first, length)
            if low < high:
                found.append(piece.narrow(self.dim, low, high - low))
            first += length
        return found

    def read(self, span: Span) -> Tensor:
        """Return the planes of a span as one tensor; no copy if they came in one piece."""
        pieces = self.pieces(span)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, self.dim)

    def forget(self, before: int) -> None:
        """Let go of the planes before `before`, and of their memory."""
        while self._pieces and self.start < before:
            first = self._pieces.popleft()
            length, passed = first.shape[self.dim], before - self.start
            if passed < length:
                # A view would keep the memory of the whole piece.
                self._pieces.appendleft(first.narrow(self.dim, passed, length - passed).clone())
            self.start += min(passed, length)


class StreamedConvolution:
    """A 3x3 convolution with its norm and ReLU, whose input comes a few planes at a time.

    Along the streamed axis it is not padded: from n planes, and the two it kept of those before, it makes n. The first
    planes ever give two fewer.

    Parameters
    ----------
    layers : sequence of modules
        The convolution, whose weights are shared, and what follows it.
    dim : int
    memory_format : torch.memory_format
        Of what it reads.
    """

    def __init__(self, layers: Sequence[Any], dim: int, memory_format: torch.memory_format) -> None:
        self._convolution, self._after = _unpadded(layers[0], dim), layers[1:]
        self._dim, self._memory_format = dim, memory_format
        self._kept: Tensor | None = None

    def join(self, sources: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the kept planes and the next ones as one tensor.

        Parameters
        ----------
        sources : sequence of sequences of Tensor
            Joined along the channels; each one consecutive planes in pieces. Every value is copied once.
        """
        like = sources[-1][0]
        kept = 0 if self._kept is None else self._kept.shape[self._dim]
        shape = list(like.shape)
        shape[1] = sum(pieces[0].shape[1] for pieces in sources)
        shape[self._dim] = kept + sum(piece.shape[self._dim] for piece in sources[-1])
        joined = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=self._memory_format)
        if self._kept is not None:
            joined.narrow(self._dim, 0, kept).copy_(self._kept)
        channel = 0
        for pieces in sources:
            plane = kept
            channels = joined.narrow(1, channel, pieces[0].shape[1])
            for piece in pieces:
                channels.narrow(self._dim, plane, piece.shape[self._dim]).copy_(piece)
                plane += piece.shape[self._dim]
            channel += pieces[0].shape[1]
        return joined

    def __call__(self, joined: Tensor) -> Tensor | None:
        """Return the planes that can be made of joined ones, or None as long as there are fewer than three."""
        planes = joined.shape[self._dim]
        last = joined.narrow(self._dim, max(planes - KEPT, 0), min(KEPT, planes))
        if self._kept is not None and self._kept.shape == last.shape:
            self._kept.copy_(last)
        else:
            self._kept = last.clone()
        if planes <= KEPT:
            return None
        result: Tensor = self._convolution(joined)
        for layer in self._after:
            result = layer(result)
        return result


class StreamedBlock:
    """A block of two convolutions, whose input comes a few planes at a time.

    Parameters
    ----------
    block : DoubleConvolution
    dim : int
    memory_format : torch.memory_format
    """

    def __init__(self, block: DoubleConvolution, dim: int, memory_format: torch.memory_format) -> None:
        layers = list(block)
        second = next(index for index in range(1, len(layers)) if isinstance(layers[index], _CONVOLUTIONS))
        self._first = StreamedConvolution(layers[:second], dim, memory_format)
        self._second = StreamedConvolution(layers[second:], dim, memory_format)

    def __call__(self, read: Callable[[], Sequence[Sequence[Tensor]]], release: Callable[[], None]) -> Tensor | None:
        """Return the planes that can be made of the next ones; None if there are none yet.

        Parameters
        ----------
        read : callable
            Returns the next planes of every source, as `StreamedConvolution.join` takes them.
        release : callable
            Called when they have been read: nothing else needs to keep them.
        """
        joined = self._first.join(read())
        release()
        between = self._first(joined)
        del joined  # every value is freed as soon as the next one is there
        if between is None:
            return None
        between = self._second.join([[between]])
        return self._second(between)


def _unpadded(convolution: Any, dim: int) -> Any:
    """Return a convolution with the same weights that does not pad the dimension that is streamed."""
    shared = copy(convolution)
    padding = list(convolution.padding)
    padding[dim - 2] = 0
    shared.padding = type(convolution.padding)(padding)
    return shared


def memory_format_of(network: nn.Module) -> torch.memory_format:
    """Return the memory format in which a network holds its weights, and so wants its input."""
    for layer in network.modules():
        # Weights that were laid out for oneDNN have no strides to look at; they want the channels last.
        if isinstance(layer, FusedConvolution) or (
            isinstance(layer, _CONVOLUTIONS) and not layer.weight.is_contiguous()
        ):
            return _CHANNELS_LAST[len(layer.padding)]
    return torch.contiguous_format
