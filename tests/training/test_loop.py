"""Training end to end, on tiny networks and images."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_seamless.errors import ChannelError, ConfigError, DatasetError, DeviceError, TrainingError
from napari_seamless.images.image import Image
from napari_seamless.training import loop
from napari_seamless.training.feeder import prefetched
from napari_seamless.training.loop import DivergedError, train
from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.options import TrainingOptions
from tests.training.conftest import example

QUICK = TrainingOptions(epochs=2, steps_per_epoch=3, patch_size=(32, 32), batch_size=2, device="cpu", precision="fp32")
SMALL = {"features": (4, 8)}
EXAMPLES = [example(number) for number in range(4)]


class Listener(list):
    """Collects events."""

    def __call__(self, event):
        self.append(event)

    def named(self, name):
        return [event.fields for event in self if event.name == name]


def as_masks(examples):
    return [replace(one, labels=(one.labels > 0).astype(np.uint8)) for one in examples]


def test_learns_to_find_bright_discs():
    options = replace(QUICK, epochs=4, steps_per_epoch=25, batch_size=4, learning_rate=1e-2)
    options = replace(options, augmentation=AugmentationOptions(scaling=1.0, intensity=0.3))
    result = train(EXAMPLES, options, features=(8, 16))
    assert result.scores["iou"] > 0.9
    assert result.scores["ap50"] > 0.6
    assert result.model.card.scores["ap50"] == pytest.approx(result.scores["ap50"], abs=1e-4)


def test_events_and_history_tell_the_same():
    listener = Listener()
    result = train(EXAMPLES, QUICK, on_event=listener, **SMALL)
    assert [event.name for event in listener] == ["notice", "epoch", "validation", "epoch", "validation", "done"]
    assert [fields["step"] for fields in listener.named("epoch")] == [3, 6]
    assert [fields["loss"] for fields in listener.named("epoch")] == [row["loss"] for row in result.history]
    assert listener.named("validation")[0]["best"]
    assert max(row["score"] for row in result.history) == result.scores["score"]
    assert "Training on 3 images, validating on 1 of other groups" in listener.named("notice")[0]["message"]


def test_same_seed_same_weights():
    weights = [train(EXAMPLES, replace(QUICK, seed=seed), **SMALL).model.network.state_dict() for seed in (5, 5, 6)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    train(EXAMPLES, QUICK, **SMALL)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": "unet", "task": "semantic"},
        {"architecture": "unetpp", "task": "semantic", "classes": ("background", "disc"), "name": "discs"},
        {"upsample": "bilinear", "deep_supervision": False},
        {"architecture": "unet", "padding": "valid", "upsample": "nearest"},
        {"input_kind": "colour"},
    ],
    ids=str,
)
def test_every_kind_of_network_trains(settings):
    examples = as_masks(EXAMPLES) if settings.get("task") == "semantic" else EXAMPLES
    result = train(examples, QUICK, **SMALL, **settings)
    assert result.model.name == settings.get("name", "untitled")
    assert np.isfinite([row["loss"] for row in result.history]).all()
    assert result.scores["score"] >= 0


def test_volumes_train():
    options = replace(QUICK, patch_size=(8, 16, 16))
    examples = [example(number, (16, 24, 24)) for number in range(2)]
    result = train(examples, options, pool_sizes=((1, 2, 2),), **SMALL)
    assert result.model.config.spatial_dims == 3


def test_bf16_trains():
    result = train(EXAMPLES, replace(QUICK, precision="bf16"), **SMALL)
    assert np.isfinite(result.history[-1]["loss"])


def test_images_smaller_than_the_patch_train():
    examples = [example(number, (20, 70)) for number in range(3)]
    assert train(examples, QUICK, **SMALL).history


def test_folders_and_formats_mix_colours_and_grey(folder):
    import tifffile

    grey = tifffile.imread(folder / "images" / "field0.tif")
    tifffile.imwrite(folder / "images" / "field0.tif", np.stack([grey] * 3, axis=-1), photometric="rgb")
    result = train(folder, QUICK, **SMALL)
    assert result.model.input_kind == "colour"
    assert result.model.config.in_channels == 3


def test_time_limits_a_run():
    result = train(EXAMPLES, replace(QUICK, epochs=None, seconds=1.5), **SMALL)
    assert result.history
    assert not result.stopped


def test_stopping_keeps_the_best_so_far():
    images = iter(range(5))  # three steps, the image held out, then one step

    def stop_in_the_second_epoch():
        return next(images, None) is None

    listener = Listener()
    result = train(
        EXAMPLES, replace(QUICK, epochs=50), should_stop=stop_in_the_second_epoch, on_event=listener, **SMALL
    )
    assert result.stopped
    assert result.history[-1]["step"] == 5
    assert listener.named("done")[0]["stopped"]
    assert result.scores == {key: result.history[0][key] for key in result.scores}
    assert result.scores["score"] >= 0


def test_stopping_before_the_first_validation_keeps_the_weights():
    result = train(EXAMPLES, replace(QUICK, epochs=50), should_stop=lambda: True, **SMALL)
    assert result.stopped
    assert result.scores == {}
    assert result.history[-1]["step"] == 1
    assert all(bool(value.isfinite().all()) for value in result.model.network.state_dict().values())


def test_stopping_during_validation_keeps_the_weights():
    calls = iter([False] * 3 + [True] * 9)
    result = train(EXAMPLES, replace(QUICK, epochs=50), should_stop=lambda: next(calls), **SMALL)
    assert result.stopped
    assert result.history[-1]["step"] == 3


def test_a_time_budget_is_not_spent_on_validation(monkeypatch):
    """With steps of one second and validations of ten, validation takes a tenth of the time."""
    clock = [0.0]

    def score(*_):
        clock[0] += 10.0
        return {"score": 0.5}

    monkeypatch.setattr(loop, "score_examples", score)
    monkeypatch.setattr(loop._Run, "_seconds", lambda run: clock[0] + run.step)
    listener = Listener()
    train(EXAMPLES, replace(QUICK, epochs=None, seconds=250), on_event=listener, **SMALL)
    assert len(listener.named("validation")) == 4
    assert len(listener.named("epoch")) > 50
    assert listener[-2].name == "validation"


def test_early_stopping(monkeypatch):
    monkeypatch.setattr(loop, "score_examples", lambda *_: {"score": 0.5})
    listener = Listener()
    result = train(EXAMPLES, replace(QUICK, epochs=50, patience=2), on_event=listener, **SMALL)
    assert len(result.history) == 3
    assert "stopped early, best was epoch 1" in listener.named("notice")[-1]["message"]


def test_the_best_epoch_is_kept(monkeypatch):
    scores = iter([0.1, 0.7, 0.3])
    judged = []

    def score(model, *_):
        judged.append(model.network.state_dict())
        return {"score": next(scores)}

    monkeypatch.setattr(loop, "score_examples", score)
    result = train(EXAMPLES, replace(QUICK, epochs=3), **SMALL)
    assert result.scores["score"] == 0.7
    kept = result.model.network.state_dict()
    assert all(torch.equal(kept[name], judged[1][name]) for name in kept)


def test_a_loss_that_is_no_number_ends_with_the_last_good_weights(monkeypatch):
    real = loop.deep_supervision_loss
    calls = []

    def poisoned(heads, target, weight):
        calls.append(1)
        return real(heads, target, weight) * (float("nan") if len(calls) == 5 else 1.0)

    monkeypatch.setattr(loop, "deep_supervision_loss", poisoned)
    with pytest.raises(DivergedError, match="NaN or infinite at step 5; the best weights so far are kept") as caught:
        train(EXAMPLES, QUICK, **SMALL)
    weights = caught.value.result.model.network.state_dict()
    assert all(bool(value.isfinite().all()) for value in weights.values())
    assert len(caught.value.result.history) == 1


def test_training_goes_on_from_a_model():
    first = train(EXAMPLES, QUICK, **SMALL).model
    options = replace(QUICK, epochs=1, steps_per_epoch=1, learning_rate=1e-9, average_decay=0.0)
    second = train(EXAMPLES, options, model=first).model
    names = [name for name, value in first.network.state_dict().items() if value.ndim == 4]
    assert len(names) > 5
    for name in names:
        torch.testing.assert_close(
            first.network.state_dict()[name], second.network.state_dict()[name], atol=1e-6, rtol=0
        )


def test_no_thread_is_left():
    train(EXAMPLES, QUICK, **SMALL)
    assert not [thread for thread in threading.enumerate() if thread.name == "patches"]


def test_errors_of_the_feeding_thread_are_raised():
    def broken():
        raise ValueError("no patch today")

    with pytest.raises(ValueError, match="no patch today"):
        next(prefetched(broken))


def test_batches_come_in_order():
    numbers = iter(range(100))
    batches = prefetched(lambda: next(numbers))
    assert [next(batches) for _ in range(20)] == list(range(20))
    batches.close()


def two_channels():
    return [replace(one, image=Image.from_array(np.stack([np.asarray(one.image.data)] * 2), "CYX")) for one in EXAMPLES]


@pytest.mark.parametrize(
    ("examples", "options", "settings", "error", "message"),
    [
        (EXAMPLES, QUICK, {"spatial_dims": 3}, TypeError, "spatial_dims"),
        (as_masks(EXAMPLES), QUICK, {"task": "semantic", "classes": ("only",)}, DatasetError, "class indices 0..0"),
        (
            EXAMPLES,
            replace(QUICK, patch_size=(33, 32)),
            {},
            TrainingError,
            r"not a multiple of \(2, 2\).*use \(34, 32\)",
        ),
        (EXAMPLES, replace(QUICK, patch_size=(32, 32, 32)), {}, TrainingError, "patch_size needs 2 entries"),
        (EXAMPLES, replace(QUICK, device="cuda:77"), {}, DeviceError, "cuda:77"),
        (two_channels(), QUICK, {"input_kind": "grey"}, ChannelError, "channel"),
        ([EXAMPLES[0], example(1, (16, 24, 24))], QUICK, {}, DatasetError, "all images must be 2D or all 3D"),
        ([*EXAMPLES, "folder"], QUICK, {}, DatasetError, "either folders or examples"),
    ],
    ids=["dims", "classes", "patch grid", "patch dims", "device", "channels", "two and three", "mixed"],
)
def test_what_does_not_fit_is_refused_before_training(examples, options, settings, error, message):
    with pytest.raises(error, match=message):
        train(examples, options, **SMALL, **settings)


def test_classes_are_counted_from_the_labels():
    assert train(EXAMPLES, QUICK, task="semantic", **SMALL).model.classes[-1] == "class 6"


def test_many_values_are_not_taken_for_classes():
    examples = [replace(one, labels=one.labels.astype(np.uint16) * 50) for one in EXAMPLES]
    with pytest.raises(DatasetError, match="task 'instances' if the values count objects"):
        train(examples, QUICK, task="semantic", **SMALL)


def test_a_model_of_other_dimensions_is_refused():
    model = train(EXAMPLES, QUICK, **SMALL).model
    with pytest.raises(ConfigError, match="the network is 2D, but the labels are 3D"):
        train([example(0, (16, 24, 24))], QUICK, model=model)
    with pytest.raises(TrainingError, match="leave out"):
        train(EXAMPLES, QUICK, model=model, name="other")
