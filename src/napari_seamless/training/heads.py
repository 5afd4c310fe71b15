"""Another number of classes on a trained network: new outputs, everything else as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from napari_seamless.errors import TrainingError
from napari_seamless.models.model import Model, Task, create_model
from napari_seamless.objects.instances import INSTANCE_CLASSES

_HEADS = "classifiers."


def with_classes(model: Model, classes: Sequence[str], task: Task | None = None, seed: int = 0) -> Model:
    """Return a model with more classes, or for another task.

    Outputs of classes that the model has already keep their weights: it predicts these as before, until it has learned
    the new ones. For another task all outputs are new; the rest of the network is kept.

    Parameters
    ----------
    model : Model
    classes : sequence of str
        All classes, background first; those of the model must come first, in their order.
    task : {"semantic", "instances"}, optional
        By default the model's own.
    seed : int
        Of the new weights.

    Raises
    ------
    TrainingError
        If a class that the model has is missing, or its place has changed.
    """
    task = task or model.task
    names = INSTANCE_CLASSES if task == "instances" else tuple(classes)
    is_same_task = task == model.task
    known = _own_classes(model)
    if is_same_task and names == known:
        return model
    if is_same_task and names[: len(known)] != known:
        raise TrainingError(
            f"classes can be added at the end only: model {model.name!r} has {known}, so give these first, not {names}"
        )
    config = replace(model.config, out_channels=len(names))
    fresh = create_model(
        config,
        task=task,
        classes=names,
        seed=seed,
        name=model.name,
        input_kind=model.input_kind,
        normalization=model.normalization,
        card=model.card,
        voxel_size_um=model.voxel_size_um,
    )
    weights = dict(fresh.network.state_dict())
    for name, value in model.network.state_dict().items():
        if not name.startswith(_HEADS):
            weights[name] = value
        elif is_same_task:
            weights[name] = _extended(value, weights[name])
    return replace(fresh.with_weights(weights), parent=model.parent)


def _own_classes(model: Model) -> tuple[str, ...]:
    """Return the model's classes, with the background that a single output leaves unsaid."""
    return model.classes if len(model.classes) > 1 else ("background", *model.classes)


def _extended(old: Tensor, new: Tensor) -> Tensor:
    """Put a head's old outputs in front of the new ones.

    A single output is the foreground's log-odds; as two outputs, of which the background's is zero, it says the same.
    New outputs start at a hundredth of their random weights and far below the others, so that nothing is one of them
    yet.
    """
    if len(old) == 1:
        old = torch.cat([torch.zeros_like(old), old])
    added = new[len(old) :] * 0.01
    if added.ndim == 1:
        added = added - 4.0
    return torch.cat([old, added])
