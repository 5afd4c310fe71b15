"""Bringing tiles to a device and results back: directly on the CPU, through pinned buffers on a GPU.

On CUDA a tile is copied into page-locked memory once and goes to the device asynchronously, on a stream of its own,
ordered after what that buffer still carries; the one wait of a tile is for its result, on an event, never on the whole
device. With two predicting threads, or with reading and writing in other threads (as `run.py` does), copies and
arithmetic of successive tiles overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass
class Transfer:
    """Copies between numpy and one device.

    Attributes
    ----------
    device : torch.device
    dtype : torch.dtype
        In which the network computes.
    memory_format : torch.memory_format
    pinned : bool or None
        Whether to go through page-locked buffers; None: on CUDA only.
    """

    device: torch.device
    dtype: torch.dtype
    memory_format: torch.memory_format
    pinned: bool | None = None
    _stream: Any = field(init=False, default=None, repr=False)
    _sent: Any = field(init=False, default=None, repr=False)
    _outgoing: Tensor | None = field(init=False, default=None, repr=False)
    _incoming: Tensor | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        if self.pinned is None:
            self.pinned = self.device.type == "cuda"
        if self.device.type == "cuda":
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def to_device(self, outer: NDArray[np.float32]) -> Tensor:
        """Return a tile as a batch of one, (1, C, *outer), on the device, in the network's precision."""
        host = torch.from_numpy(outer[None])
        if not self.pinned:
            return host.to(self.device, self.dtype).contiguous(memory_format=self.memory_format)
        self._wait_until_sent()
        self._outgoing = _large_enough(self._outgoing, host.numel(), pin=self.device.type == "cuda")
        buffer = self._outgoing[: host.numel()].view(host.shape)
        buffer.copy_(host)
        if self._stream is None:
            return buffer.to(self.device, self.dtype, copy=True).contiguous(memory_format=self.memory_format)
        with torch.cuda.stream(self._stream):
            arrived = buffer.to(self.device, non_blocking=True)
            self._sent = self._stream.record_event()
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._stream)
        arrived.record_stream(current)
        return arrived.to(self.dtype).contiguous(memory_format=self.memory_format)

    def to_host(self, result: Tensor) -> NDArray[np.float32]:
        """Return a result on the device as a float32 array of its own."""
        wide = result.to(torch.float32)
        if not self.pinned:
            array: NDArray[np.float32] = wide.to("cpu").contiguous().numpy()
            return array
        dense = wide.contiguous()
        self._incoming = _large_enough(self._incoming, dense.numel(), pin=self.device.type == "cuda")
        buffer = self._incoming[: dense.numel()].view(dense.shape)
        buffer.copy_(dense, non_blocking=True)
        if self._stream is not None:
            torch.cuda.current_stream(self.device).record_event().synchronize()
        own: NDArray[np.float32] = buffer.numpy().copy()
        return own

    def _wait_until_sent(self) -> None:
        """The buffer may be filled again once its last copy has left."""
        if self._sent is not None:
            self._sent.synchronize()
            self._sent = None


def _large_enough(buffer: Tensor | None, values: int, *, pin: bool) -> Tensor:
    """Return `buffer`, or a new flat float32 one if it holds fewer than `values`."""
    if buffer is None or buffer.numel() < values:
        return torch.empty(values, dtype=torch.float32, pin_memory=pin)
    return buffer
