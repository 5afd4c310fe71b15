"""Devices and precisions: which there are, which one a run gets, and how much memory it has."""

from __future__ import annotations

from typing import Literal

import psutil
import torch

from napari_seamless.errors import DeviceError

Precision = Literal["auto", "fp64", "fp32", "bf16", "fp16"]

DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_AMPERE = 8
"""First CUDA compute capability with bf16 arithmetic."""


def available_devices() -> tuple[str, ...]:
    """Return the devices a run can use, the fastest kind first: ``("cuda:0", "cpu")``."""
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        devices.append("mps")
    return (*devices, "cpu")


def resolve_device(device: str = "auto") -> str:
    """Return the device meant by `device`.

    Raises
    ------
    DeviceError
        If this machine does not have it.
    """
    available = available_devices()
    if device == "auto":
        return available[0]
    wanted = "cuda:0" if device == "cuda" else device
    if wanted not in available:
        raise DeviceError(f"device {device!r} is not on this machine: use 'auto' or one of {', '.join(available)}")
    return wanted


def resolve_precision(precision: str, device: str) -> str:
    """Return the precision meant by `precision` on `device`.

    ``auto`` is half precision where the hardware computes in it: bf16 on CPUs with AVX512-BF16 or AMX and on CUDA
    from Ampere on, fp16 on older CUDA; fp32 elsewhere.

    Raises
    ------
    DeviceError
        If it is unknown, or not possible on that device.
    """
    if precision == "auto":
        return _native_half_precision(device) or "fp32"
    if precision not in DTYPES:
        raise DeviceError(f"precision {precision!r} is unknown: use 'auto' or one of {', '.join(DTYPES)}")
    if precision == "fp64" and device == "mps":
        raise DeviceError("precision 'fp64' does not exist on mps: use fp32, or device 'cpu'")
    return precision


def _native_half_precision(device: str) -> str | None:
    if device == "cpu":
        return "bf16" if cpu_has_bf16() else None
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= _AMPERE else "fp16"
    return None


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (AVX512-BF16 or AMX)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name)() for name in checks if hasattr(torch.cpu, name))


def free_memory(device: str) -> int:
    """Return the bytes that can be allocated on `device` now."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)  # mps shares the machine's memory


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device has no memory left, and nothing else."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # torch's CPU and MPS allocators raise a plain RuntimeError.
    texts = (
        "DefaultCPUAllocator: can't allocate memory",
        "DefaultCPUAllocator: not enough memory",
        "MPS backend out of memory",
    )
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


def release_memory(device: str) -> None:
    """Give cached blocks back after an allocation failed."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
