"""Starting a training, and going on with one that was interrupted: what was asked for, as a command in a process."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seamless.errors import TrainingError
from napari_seamless.viewer.finetune.child import ProcessKey, command_of, start_process
from napari_seamless.viewer.finetune.progress import RESUMED
from napari_seamless.viewer.finetune.run_folder import Run, RunRecord, model_in, tidy, write_record
from napari_seamless.workspace.disk import named_errors
from napari_seamless.workspace.training_examples import keep_image

if TYPE_CHECKING:
    from napari_seamless.models.model import Task
    from napari_seamless.workspace.session import Workspace

PREVIEW_SECONDS = 5
CHECKPOINT_SECONDS = 20
"""How much of a training a crash may cost."""

_RESUME = "--resume"


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
    tidy(request.workspaces[0] / "runs")
    started = datetime.now().astimezone()
    folder = new_folder(request, started)
    with named_errors(folder):
        folder.mkdir(parents=True)
    command = request.arguments(model_in(folder))
    key = _start(command, folder)
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
    write_record(run)
    return run


def go_on(run: Run, workspaces: Iterable[Workspace]) -> Run:
    """Start the process of a run that was interrupted again, from its checkpoint. For a worker thread.

    Raises
    ------
    FileWriteError, TrainingError
        As `begin`; also if the regions to learn from are others now, which only a new training can take up.
    """
    opened = tuple(workspaces)
    for workspace in opened:
        workspace.flush()
    if len(opened) == len(run.record.workspaces):
        regions = [region for workspace in opened for region in regions_learned_from(workspace)]
        if regions != list(run.record.trained_on):
            raise TrainingError(
                "this training can't go on, because the regions to learn from are others now than when it began: "
                "discard it and train anew, or adopt what it has learned"
            )
    command = run.record.command if _RESUME in run.record.command else (*run.record.command, _RESUME)
    with named_errors(run.folder):
        _end_line(run.events)
        with run.events.open("ab") as events:
            events.write(json.dumps({"event": RESUMED}).encode() + b"\n")
    key = _start(command, run.folder)
    resumed = replace(run, record=replace(run.record, command=command, pid=key.pid, began=key.began))
    write_record(resumed)
    return resumed


def _end_line(path: Path) -> None:
    """End the line that a killed process left unfinished."""
    if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def _start(command: Sequence[str], folder: Path) -> ProcessKey:
    preview = ["--preview", str(folder / "preview"), "--preview-seconds", str(PREVIEW_SECONDS)]
    watched = [*preview, "--checkpoint-seconds", str(CHECKPOINT_SECONDS), "--events", "-"]
    return start_process(command_of([*command, *watched]), folder / "events.jsonl", folder / "log.txt")


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
