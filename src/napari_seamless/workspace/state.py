"""``state.json``: what of a workspace is neither pixels nor history."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_seamless.errors import WorkspaceError
from napari_seamless.workspace.bulk_undo import UndoStep
from napari_seamless.workspace.regions import VerifiedRegion

STATE = "state.json"


def read_state(folder: Path) -> dict[str, Any]:
    """Return the content of ``state.json``; of a new workspace when there is none.

    Raises
    ------
    WorkspaceError
        If it is damaged.
    """
    state: dict[str, Any] = {"applied_seq": 0, "journal_segment": 1, "next_id": 1, "next_region_id": 1}
    state |= {"next_step_id": 1, "regions": [], "steps": []}
    path = folder / STATE
    try:
        found = json.loads(path.read_bytes())
        missing = state.keys() - found.keys()
        if missing:
            raise ValueError(f"it lacks {sorted(missing)}")
        for values in found["regions"]:
            VerifiedRegion.from_dict(values)
        for values in found["steps"]:
            UndoStep.from_dict(values)
    except FileNotFoundError:
        return state
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}): put it back from a copy; nothing was changed") from error
    return dict(found)


def now() -> str:
    """Return the time as the workspace writes it down."""
    return datetime.now(UTC).isoformat(timespec="seconds")
