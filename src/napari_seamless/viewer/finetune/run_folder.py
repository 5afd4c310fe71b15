"""The folder of a training run: what it holds, what was decided about it, and what of it is kept for good.

::

    cells.tif.seamless/runs/2026-11-22_101500/
      run.json       command, process, model it started from, regions it learns from, what was decided about it
      events.jsonl   what the process said
      log.txt        what it said to people
      model/         the result
      model.checkpoint.safetensors    what an interrupted run goes on from
      model.curves.csv, .png          the learning curves
      preview/       the weights as they were some seconds ago

What is kept: a run that goes on, or that waits for a decision, whole, however old it is; of a run that was adopted or
discarded the record and the curves, and of those the newest `MOST_DECIDED`; of a run that came to nothing everything,
its log above all, until the next training begins.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from napari_seamless.viewer.finetune.child import ProcessKey, is_alive
from napari_seamless.workspace.disk import named_errors, replace_file

RECORD = "run.json"
MOST_DECIDED = 50
"""Of how many runs that were adopted or discarded record and curves are kept."""

_CURVES = ("model.curves.csv", "model.curves.png")
_CHECKPOINT = "model.checkpoint.safetensors"
_ABANDONED_SECONDS = 86_400.0

Decision = Literal["", "adopted", "discarded"]


@dataclass(frozen=True)
class RunRecord:
    """What ``run.json`` says.

    Attributes
    ----------
    command : tuple of str
        The words after ``napari-seamless`` that repeat the run.
    pid, began
        Its process: see `child.ProcessKey`.
    started : str
        ISO 8601, local time.
    model, model_name : str
        What it started from; empty for a new model.
    workspaces : tuple of str
        Folders with the corrections that it learns from.
    seconds : float or None
        The budget.
    trained_on : tuple of str
        The regions, for the adopted model's lineage.
    channel : int or None
        As it was asked for.
    decision : {"", "adopted", "discarded"}
    """

    command: tuple[str, ...]
    pid: int
    began: float
    started: str
    model: str
    model_name: str
    workspaces: tuple[str, ...]
    seconds: float | None
    trained_on: tuple[str, ...]
    channel: int | None = None
    decision: Decision = ""


@dataclass(frozen=True)
class Run:
    """A run and its folder."""

    folder: Path
    record: RunRecord

    @property
    def key(self) -> ProcessKey:
        """Its process."""
        return ProcessKey(self.record.pid, self.record.began)

    @property
    def is_alive(self) -> bool:
        """Whether it goes on."""
        return is_alive(self.key)

    @property
    def events(self) -> Path:
        """What the process said, as JSON lines."""
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        """What the process said to people."""
        return self.folder / "log.txt"

    @property
    def model(self) -> Path:
        """The result."""
        return model_in(self.folder)

    @property
    def preview(self) -> Path:
        """The weights as they were some seconds ago."""
        return self.folder / "preview"

    @property
    def kept(self) -> Path | None:
        """What there is to be adopted: the result, or the last weights of a run that came to none."""
        return next((place for place in (self.model, self.preview) if (place / "model.json").is_file()), None)

    @property
    def can_go_on(self) -> bool:
        """Whether the run was interrupted and left what it needs to go on; one that ended by itself has removed it."""
        return (self.folder / _CHECKPOINT).is_file() and not self.is_alive

    @property
    def is_open(self) -> bool:
        """Whether the run goes on, or waits for a decision."""
        return not self.record.decision and (self.is_alive or self.kept is not None or self.can_go_on)


def model_in(folder: Path) -> Path:
    """Return where a run's result is."""
    return folder / "model"


def decide(run: Run, decision: Decision) -> Run:
    """Write down what became of a run; all but its record and curves go. For a worker thread.

    Raises
    ------
    FileWriteError
        If the folder cannot be written.
    """
    decided = replace(run, record=replace(run.record, decision=decision))
    write_record(decided)
    _strip(run.folder)
    return decided


def undecided(runs: Path) -> list[Run]:
    """Return the runs in a workspace's ``runs/`` that go on or wait for a decision, the newest first."""
    return [run for run in _runs_in(runs) if run.is_open]


def tidy(runs: Path) -> None:
    """Remove from a workspace's ``runs/`` what is not kept; see the top of this module. For a worker thread.

    Raises
    ------
    FileWriteError
        If the folder cannot be written.
    """
    decided = 0
    for run in _runs_in(runs):
        if run.record.decision:
            decided += 1
        if decided > MOST_DECIDED and run.record.decision:
            _remove(run.folder)
        elif run.record.decision:
            _strip(run.folder)
        elif not run.is_open:
            _remove(run.folder)
    for folder in _folders_in(runs):
        # Begun, but its record was never written; a young one may be about to.
        is_old = time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS
        if is_old and not (folder / RECORD).exists():
            _remove(folder)


def write_record(run: Run) -> None:
    """Write ``run.json``.

    Raises
    ------
    FileWriteError
    """
    with named_errors(run.folder):
        replace_file(run.folder / RECORD, json.dumps(asdict(run.record), indent=2).encode() + b"\n")


def _strip(folder: Path) -> None:
    """Remove all of a run but its record and curves."""
    with named_errors(folder):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in (RECORD, *_CURVES):
                path.unlink()


def _remove(folder: Path) -> None:
    with named_errors(folder):
        shutil.rmtree(folder)


def _folders_in(runs: Path) -> list[Path]:
    """Return the folders of runs, the newest first."""
    return [path for path in sorted(runs.iterdir(), reverse=True) if path.is_dir()] if runs.is_dir() else []


def _runs_in(runs: Path) -> Iterator[Run]:
    for folder in _folders_in(runs):
        run = _read(folder)
        if run is not None:
            yield run


def _read(folder: Path) -> Run | None:
    """Return a run; None for one without a record, or with one that nothing can be decided by."""
    try:
        values = json.loads((folder / RECORD).read_bytes())
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return Run(folder, RunRecord(**fields))
    except (OSError, ValueError, TypeError):
        return None
