"""Convolution and ReLU as one step of oneDNN, with weights laid out once: the plain network's numbers, fewer passes.

torch computes a CPU convolution with oneDNN, then reads and writes its whole result again for the ReLU, and lays the
weights out anew at every call. oneDNN can apply the ReLU while a result is still in a register. These are the operators
that ``torch.compile`` uses for frozen networks; called directly they need no compiler and take any shape. They run the
same kernels in the same order as the plain modules: in our tests the results are bitwise equal.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_FUSED_TYPES = (torch.float32, torch.bfloat16)


class FusedConvolution(nn.Module):
    """A convolution in evaluation mode, followed by ReLU if asked for.

    Parameters
    ----------
    convolution : Conv2d or Conv3d
        On the CPU, in float32 or bfloat16, zero-padded, with one group.
    relu : bool
    """

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d, *, relu: bool) -> None:
        super().__init__()
        self.padding = [int(size) for size in convolution.padding]
        self.stride, self.dilation = list(convolution.stride), list(convolution.dilation)
        self.after = "relu" if relu else "none"
        last = torch.channels_last if len(self.padding) == 2 else torch.channels_last_3d
        dense = convolution.weight.detach().contiguous(memory_format=last)
        self.bias = None if convolution.bias is None else convolution.bias.detach()
        self.weight = _operators()._reorder_convolution_weight(dense, self.padding, self.stride, self.dilation, 1, None)

    def forward(self, values: Tensor) -> Tensor:
        """Return the result, (N, C_out, *spatial)."""
        result: Tensor = _operators()._convolution_pointwise(
            values, self.weight, self.bias, self.padding, self.stride, self.dilation, 1, self.after, [], ""
        )
        return result


def fuse(network: nn.Module) -> bool:
    """Replace every convolution followed by a ReLU by a `FusedConvolution`, in place.

    Parameters
    ----------
    network : Module
        On its device, in its final precision, batch norm folded already.

    Returns
    -------
    bool
        Whether anything was replaced: False on other devices and precisions, and where this build of torch lacks the
        operators. The network then computes the same without them.
    """
    weight = next(network.parameters())
    if weight.device.type != "cpu" or weight.dtype not in _FUSED_TYPES or not can_fuse(weight.dtype):
        return False
    blocks = [module for module in network.modules() if isinstance(module, nn.Sequential)]
    return any([_fuse_block(block) for block in blocks])


def can_fuse(dtype: torch.dtype) -> bool:
    """Whether this build of torch, on this CPU, has the operators and they agree with the plain modules."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):  # type: ignore[no-untyped-call]
        return False
    needed = ("_convolution_pointwise", "_reorder_convolution_weight")
    if not all(hasattr(_operators(), name) for name in needed):
        return False
    return _trial(dtype)


def _trial(dtype: torch.dtype) -> bool:
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        plain = nn.Conv2d(3, 8, 3, padding=1).to(dtype)
        values = torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8).to(dtype)
        try:
            fused = FusedConvolution(plain, relu=True)(values)
        except (RuntimeError, NotImplementedError, TypeError) as error:
            # Internal operators may change between versions of torch: then the plain modules do the work.
            warnings.warn(f"fused convolutions are off, segmenting is slower: {error}", RuntimeWarning, stacklevel=2)
            return False
        return torch.allclose(fused.float(), plain(values).relu().float(), atol=1e-2)


def _operators() -> Any:
    return torch.ops.mkldnn


def _fuse_block(block: nn.Sequential) -> bool:
    """Fuse within one block; Identity layers, left where batch norm was, go away."""
    layers = [layer for layer in block if not isinstance(layer, nn.Identity)]
    fused: list[nn.Module] = []
    for layer in layers:
        before = fused[-1] if fused else None
        if isinstance(layer, nn.ReLU) and isinstance(before, _CONVOLUTIONS) and _is_plain(before):
            fused[-1] = FusedConvolution(before, relu=True)
        else:
            fused.append(layer)
    changed = any(isinstance(layer, FusedConvolution) for layer in fused)
    if changed:
        while len(block):
            del block[0]
        block.extend(fused)
    return changed


def _is_plain(convolution: nn.Conv2d | nn.Conv3d) -> bool:
    return convolution.groups == 1 and convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
