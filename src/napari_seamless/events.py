"""What long jobs report while they run: the same events for the command line, the viewer and scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a long job.

    Attributes
    ----------
    name : str
        What happened: ``plan``, ``notice``, ``tile``, ``stitch``, ``written``, ``epoch``, ``validation``, ``done``...
    fields : mapping
        Facts that can be written as JSON.
    payload : mapping
        Arrays for a listener in the same process; never serialised.
    """

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return ``{"event": name, **fields}``, ready for JSON lines."""
        return {"event": self.name, **self.fields}


OnEvent = Callable[[Event], None]
ShouldStop = Callable[[], bool]


def ignore_event(event: Event) -> None:
    """Listen to nothing: the default for ``on_event``."""


def never_stop() -> bool:
    """Never ask to stop: the default for ``should_stop``."""
    return False
