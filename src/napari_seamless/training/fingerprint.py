"""What a run was started with, so that it only goes on with the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from napari_seamless.models.model import Model
from napari_seamless.training.examples import Example
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.setup import TrainingSetup

Fingerprint = dict[str, Any]

_FREE_TO_CHANGE = ("device", "checkpoint_seconds")
"""Options that do not change what is learnt, but for rounding."""

_MOST_NAMED = 3


def fingerprint(examples: Sequence[Example], setup: TrainingSetup, options: TrainingOptions) -> Fingerprint:
    """Return what a run was started with, as JSON knows it.

    Parameters
    ----------
    examples : sequence of Example
        Their names, shapes, roles and places count; pixels and labels are not read.
    setup : TrainingSetup
    options : TrainingOptions
        As they were given.
    """
    kept = {name: value for name, value in asdict(options).items() if name not in _FREE_TO_CHANGE}
    data = [
        [one.dataset, one.group, one.name, list(one.labels.shape), one.role, one.box, one.excluded] for one in examples
    ]
    found = {"option": kept, "model": _model_facts(setup.model), "data": data}
    plain: Fingerprint = json.loads(json.dumps(found, default=str))
    return plain


def _model_facts(model: Model) -> dict[str, Any]:
    return {
        **model.config.as_dict(),
        "task": model.task,
        "classes": model.classes,
        "input_kind": model.input_kind,
        "normalization": asdict(model.normalization),
        "first weights": _weights_hash(model),
    }


def _weights_hash(model: Model) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()


def differences(saved: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """Return, in words, what is not as it was; the first few of many."""
    found = []
    for kind in ("option", "model"):
        before, now = saved.get(kind, {}), present[kind]
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                found.append(_changed(f"{kind}'s {name}" if kind == "model" else name, before.get(name), now.get(name)))
    if saved.get("data") != present["data"]:
        found.append(_changed_data(saved.get("data", []), present["data"]))
    more = len(found) - _MOST_NAMED
    return [*found[:_MOST_NAMED], f"{more} more"] if more > 0 else found


def _changed(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        parts = [
            _changed(f"{name}.{key}", before.get(key), now.get(key))
            for key in sorted({*before, *now})
            if before.get(key) != now.get(key)
        ]
        return ", ".join(parts)
    if name.endswith("first weights"):
        return "the weights that the model began with"
    return f"{name} (it was {before}, now {now})"


def _changed_data(before: Any, now: Any) -> str:
    if len(before) != len(now):
        return f"the images (there were {len(before)}, now {len(now)})"
    first = next((old, new) for old, new in zip(before, now, strict=True) if old != new)
    if first[0][:4] == first[1][:4]:
        return f"what counts of the image {first[0][2]}"
    return f"the images ({first[0][2]} of shape {first[0][3]} is now {first[1][2]} of shape {first[1][3]})"
