"""How numbers and plans read in the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def duration(seconds: float) -> str:
    """Return a rough duration such as ``less than a second``, ``20 s``, ``4 min`` or ``1 h 10 min``."""
    if seconds < 1:
        return "less than a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _rough(seconds: float) -> str:
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def size(n_bytes: float) -> str:
    """Return an amount of memory such as ``300 MB`` or ``1.5 GB``."""
    megabytes = n_bytes / 1e6
    return f"{max(1, megabytes):.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def count(number: int, noun: str) -> str:
    """Return ``1 tile``, ``12 tiles``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def plan_line(plan: Mapping[str, Any]) -> str:
    """Return what a run will take, for the line above the button.

    Parameters
    ----------
    plan : mapping
        ``n_tiles``, ``tile_size``, ``peak_bytes``, ``seconds`` and ``device`` of a plan.
    """
    tile = " × ".join(str(length) for length in plan["tile_size"])
    seconds = "" if plan["seconds"] is None else f", {_rough(plan['seconds'])}"
    tiles = count(plan["n_tiles"], "tile")
    return f"{tiles} of {tile} pixels, {size(plan['peak_bytes'])} of memory{seconds} on {plan['device']}."


def progress_line(done: int, total: int, seconds_left: float | None) -> str:
    """Return how far a run is, for the line under the progress bar."""
    left = "" if seconds_left is None else f", {duration(seconds_left)} left"
    return f"{done:,} of {count(total, 'tile')}{left}"
