"""Numbers as people read them: bytes, seconds, sizes in pixels."""

from __future__ import annotations

from collections.abc import Sequence


def bytes_text(count: float) -> str:
    """Return a number of bytes with a binary unit, such as ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def seconds_text(seconds: float) -> str:
    """Return a duration such as ``0.8 s``, ``42 s``, ``3 min 5 s`` or ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def sizes_text(sizes: Sequence[int]) -> str:
    """Return lengths over axes such as ``512 x 640``."""
    return " x ".join(str(size) for size in sizes)


def counted(count: int, thing: str) -> str:
    """Return a count with its noun, such as ``1 tile`` or ``12 tiles``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
