"""One training run: what was asked for, the folder it happens in, and what became of it.

::

    cells.tif.seamless/runs/2026-11-22_101500/
      run.json       command, process, model it started from, regions it learns from, what was decided about it
      events.jsonl   what the process said
      log.txt        what it said to people
      model/         the result
      preview/       the weights as they were some seconds ago
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_seamless.viewer.finetune.child import ProcessKey, command_of, is_alive, start_process
from napari_seamless.workspace.disk import named_errors, replace_file
from napari_seamless.workspace.training_examples import keep_image

if TYPE_CHECKING:
    from napari_seamless.models.model import Task
    from napari_seamless.workspace.session import Workspace

PREVIEW_SECONDS = 5
RECORD = "run.json"

Decision = Literal["", "adopted", "discarded"]


@dataclass(frozen=True)
class TrainingRequest:
    """What to train, on what, for how long.

    Attributes
    ----------
    workspaces : tuple of pathlib.Path
        Folders with corrections; runs are kept in the first one.
    model : str
        Name or path of the model to start from; empty for a new one from scratch.
    model_name : str
        What that model is called; empty for a new one.
    task : {"instances", "semantic"}
        Of a new model.
    seconds : float or None
        The budget; None to train until stopped.
    channel : int or None
        What of several channels a model is given that takes one.
    """

    workspaces: tuple[Path, ...]
    model: str = ""
    model_name: str = ""
    task: Task = "instances"
    seconds: float | None = 30.0
    channel: int | None = None

    def arguments(self, out: Path) -> list[str]:
        """Return the words after ``napari-seamless`` that a person would type."""
        folders = [str(folder) for folder in self.workspaces]
        budget = ["--until-stopped"] if self.seconds is None else ["--seconds", f"{self.seconds:g}"]
        if not self.model:
            return ["train", *folders, "--task", self.task, "--out", str(out), *budget]
        data = [word for folder in folders for word in ("--workspace", folder)]
        channel = [] if self.channel is None else ["--channel", str(self.channel)]
        return ["finetune", "--model", self.model, *data, *channel, "--out", str(out), *budget]


def shell_command(arguments: Sequence[str]) -> str:
    """Return a line for the shell of this system."""
    words = ["napari-seamless", *arguments]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


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


def model_in(folder: Path) -> Path:
    """Return where a run's result is."""
    return folder / "model"


def new_folder(request: TrainingRequest, now: datetime) -> Path:
    """Return a folder for a run that does not exist yet."""
    runs = request.workspaces[0] / "runs"
    name, count = now.strftime("%Y-%m-%d_%H%M%S"), 1
    while (folder := runs / (name if count == 1 else f"{name}-{count}")).exists():
        count += 1
    return folder


def begin(request: TrainingRequest, workspaces: Iterable[Workspace]) -> Run:
    """Bring the corrections to the disk and start a training on them. For a worker thread.

    Raises
    ------
    FileWriteError
        If the corrections or the run's folder cannot be written.
    TrainingError
        If the process cannot be started.
    """
    trained_on: list[str] = []
    for workspace in workspaces:
        workspace.flush()
        keep_image(workspace.image, workspace.folder)
        trained_on += regions_learned_from(workspace)
    started = datetime.now().astimezone()
    folder = new_folder(request, started)
    with named_errors(folder):
        folder.mkdir(parents=True)
    command = request.arguments(model_in(folder))
    preview = ["--preview", str(folder / "preview"), "--preview-seconds", str(PREVIEW_SECONDS)]
    key = start_process(command_of([*command, *preview, "--events", "-"]), folder / "events.jsonl", folder / "log.txt")
    record = RunRecord(
        command=tuple(command),
        pid=key.pid,
        began=key.began,
        started=started.isoformat(timespec="seconds"),
        model=request.model,
        model_name=request.model_name,
        workspaces=tuple(str(place) for place in request.workspaces),
        seconds=request.seconds,
        trained_on=tuple(trained_on),
        channel=request.channel,
    )
    run = Run(folder, record)
    _write(run)
    return run


def regions_learned_from(workspace: Workspace) -> list[str]:
    """Return the regions for training in words, such as ``cells.tif: slice Z 12``."""
    name = workspace.info.image_name or workspace.folder.stem
    found = []
    for region in workspace.regions:
        if region.role == "train":
            spans = (
                f"{axis} {start}" if stop - start == 1 else f"{axis} {start}-{stop}"
                for axis, (start, stop), length in zip(workspace.axes, region.box, workspace.shape, strict=True)
                if stop - start < length
            )
            found.append(f"{name}: {region.kind} {' '.join(spans)}".rstrip())
    return found


def decide(run: Run, decision: Decision) -> Run:
    """Write down what became of a run; the weights of one that is no longer wanted go. For a worker thread.

    Raises
    ------
    FileWriteError
        If the folder cannot be written.
    """
    decided = replace(run, record=replace(run.record, decision=decision))
    _write(decided)
    with named_errors(run.folder):
        for place in (run.model, run.preview):
            if place.is_dir():
                shutil.rmtree(place)
        for checkpoint in run.folder.glob("*.checkpoint.safetensors"):
            checkpoint.unlink()
    return decided


def undecided(runs: Path) -> list[Run]:
    """Return the runs in a workspace's ``runs/`` that go on or wait for a decision, the newest first."""
    if not runs.is_dir():
        return []
    found = (_read(folder) for folder in sorted(runs.iterdir(), reverse=True) if (folder / RECORD).is_file())
    return [run for run in found if run is not None and not run.record.decision and (run.is_alive or run.kept)]


def _write(run: Run) -> None:
    with named_errors(run.folder):
        replace_file(run.folder / RECORD, json.dumps(asdict(run.record), indent=2).encode() + b"\n")


def _read(folder: Path) -> Run | None:
    """Return a run; None for one whose record is damaged, which no decision can be made about."""
    try:
        values = json.loads((folder / RECORD).read_bytes())
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return Run(folder, RunRecord(**fields))
    except (OSError, ValueError, TypeError):
        return None
