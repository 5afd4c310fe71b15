"""Where a trained model goes, and what lies beside it while it is trained."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seamless.events import Event, OnEvent

if TYPE_CHECKING:
    from napari_seamless.models.model import Model


@dataclass(frozen=True)
class ModelDestination:
    """The place of a model that does not exist yet.

    Attributes
    ----------
    out : Path
        A folder, or a ``.zip``.
    half : bool
        Store the weights in half precision.
    overwrite : bool
        Replace a model, and the checkpoint of a run, that are there.
    resume : bool
        Go on from the checkpoint that is there; the model that the interrupted run left is replaced.
    card : mapping
        What the model's card shall say.
    """

    out: Path
    half: bool = False
    overwrite: bool = False
    resume: bool = False
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.out.name.removesuffix(".zip")

    @property
    def checkpoint(self) -> Path:
        """What an interrupted run goes on from."""
        from napari_seamless.training.checkpoint import checkpoint_path

        return checkpoint_path(self.out)

    @property
    def curves(self) -> Path:
        """The learning curves, without their endings."""
        return self.out.with_name(f"{self.name}.curves")

    def check(self) -> None:
        """Refuse, before a long training, what could not be written after it.

        Raises
        ------
        OutputExistsError
        """
        from napari_seamless.models.package import check_model_output
        from napari_seamless.training.checkpoint import check_no_checkpoint

        if not self.resume and not self.overwrite:
            check_no_checkpoint(self.checkpoint)
        check_model_output(self.out, overwrite=self._replaces)

    def keep(self, model: Model) -> None:
        """Save a model with its card.

        Raises
        ------
        OutputExistsError, FileWriteError
        """
        from napari_seamless.models.package import WeightType, save_model

        command = shlex.join(["napari-seamless", *sys.argv[1:]])
        added = {**self.card, "command": command, "created": date.today().isoformat()}
        whole = replace(model, card=model.card.model_copy(update=added))
        weight_type: WeightType = "float16" if self.half else "float32"
        save_model(whole, self.out, weight_type=weight_type, overwrite=self._replaces)

    def forget_run(self) -> None:
        """Remove the checkpoint, once the model is safe."""
        from napari_seamless.training.checkpoint import remove_checkpoint

        remove_checkpoint(self.checkpoint)

    @property
    def _replaces(self) -> bool:
        # What an interrupted run saved as its best so far makes way for what it becomes.
        return self.overwrite or (self.resume and self.checkpoint.exists())


@dataclass(frozen=True)
class Preview:
    """A place where the model can be looked at while it is trained.

    Attributes
    ----------
    folder : Path
    on_event : callable
        Told ``snapshot`` (step, path) each time.
    """

    folder: Path
    on_event: OnEvent

    def check(self) -> None:
        """Refuse a folder that holds something else than a model.

        Raises
        ------
        OutputExistsError
        """
        from napari_seamless.models.package import check_model_output

        check_model_output(self.folder, overwrite=True)

    def show(self, model: Model, step: int) -> None:
        """Save a model, replacing the one before."""
        from napari_seamless.models.package import save_model

        save_model(model, self.folder, weight_type="float16", overwrite=True)
        self.on_event(Event("snapshot", {"step": step, "path": str(self.folder)}))
