"""Options: what is refused, and what follows from them."""

from __future__ import annotations

import pytest

from napari_seamless.errors import TrainingError
from napari_seamless.training.options import TrainingOptions


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seconds": 0}, "seconds must be more than 0, not 0"),
        ({"steps": -1}, "steps must be more than 0"),
        ({"learning_rate": 0.0}, "learning_rate must be more than 0"),
        ({"encoder_rate": -0.1}, "encoder_rate must be at least 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds must be at least 0"),
        ({"average_decay": 1.0}, "average_decay must be at least 0 and below 1"),
        ({"validation_fraction": 0.9}, "some images must be held out"),
        ({"precision": "fp64"}, "precision must be one of"),
        ({"optimiser": "adam"}, r"optimiser must be one of \['adamw', 'sgd'\], not 'adam'"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"deep_supervision": "decay"}, "deep_supervision must be one of"),
        ({"class_weights": "inverse"}, "class_weights must be one of .* or one number a class"),
        ({"class_weights": (1.0, -1.0)}, "class_weights must be at least 0"),
        ({"class_weights": (0.0, 0.0)}, "one of them more"),
        ({"class_weights": "balanced", "loss": "dice"}, "Dice counts every class alike"),
        ({"until_stopped": True, "seconds": 5}, "until_stopped means no limit, but seconds is one"),
        ({"until_stopped": True, "deep_supervision": "ramp"}, "has no end"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(TrainingError, match=message):
        TrainingOptions(**values)


def test_the_default_budget_is_forty_epochs():
    assert TrainingOptions().epoch_limit == 40
    assert TrainingOptions().epochs_of_patience == 10
    for limit in ({"seconds": 5}, {"steps": 5}, {"until_stopped": True}):
        assert TrainingOptions(**limit).epoch_limit is None
        assert TrainingOptions(**limit).epochs_of_patience is None


def test_runs_that_repeat_exactly():
    assert TrainingOptions().is_counted
    assert TrainingOptions(steps=5).is_counted
    assert not TrainingOptions(seconds=5).is_counted
    assert not TrainingOptions(until_stopped=True).is_counted


def test_patience_is_a_quarter_of_the_epochs():
    assert TrainingOptions(epochs=100).epochs_of_patience == 25
    assert TrainingOptions(epochs=100, patience=3).epochs_of_patience == 3
