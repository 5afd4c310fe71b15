"""Training end to end, on tiny networks and images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_seamless.errors import ChannelError, ConfigError, DatasetError, DeviceError, TrainingError
from napari_seamless.images.image import Image
from napari_seamless.training import learner, run
from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.loop import DivergedError, train
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


def poison_losses(monkeypatch, is_poisoned):
    """Make the loss NaN at the calls, from 1, for which `is_poisoned` answers True."""
    real = learner.deep_supervision_loss
    calls = []

    def poisoned(heads, target, weight, **settings):
        calls.append(1)
        return real(heads, target, weight, **settings) * (float("nan") if is_poisoned(len(calls)) else 1.0)

    monkeypatch.setattr(learner, "deep_supervision_loss", poisoned)


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
    names = [event.name for event in listener if event.name != "step"]  # how many of them is a matter of time
    assert names == ["notice", "epoch", "validation", "epoch", "validation", "done"]
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

    monkeypatch.setattr(run, "score_examples", score)
    monkeypatch.setattr(run.Run, "_seconds", lambda one: clock[0] + one.state.step)
    listener = Listener()
    train(EXAMPLES, replace(QUICK, epochs=None, seconds=250), on_event=listener, price=False, **SMALL)
    assert len(listener.named("validation")) == 4
    assert len(listener.named("epoch")) > 50
    assert listener[-2].name == "validation"


def test_early_stopping(monkeypatch):
    monkeypatch.setattr(run, "score_examples", lambda *_: {"score": 0.5})
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

    monkeypatch.setattr(run, "score_examples", score)
    result = train(EXAMPLES, replace(QUICK, epochs=3), **SMALL)
    assert result.scores["score"] == 0.7
    kept = result.model.network.state_dict()
    assert all(torch.equal(kept[name], judged[1][name]) for name in kept)


def test_a_loss_that_is_no_number_ends_with_the_last_good_weights(monkeypatch):
    poison_losses(monkeypatch, lambda call: call == 5)
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


FP16 = replace(QUICK, precision="fp16")


def test_fp16_trains():
    listener = Listener()
    result = train(EXAMPLES, FP16, on_event=listener, **SMALL)
    assert np.isfinite([row["loss"] for row in result.history]).all()
    assert listener.named("done")[0]["score"] == result.scores["score"]


def test_an_overflow_in_fp16_is_no_divergence(monkeypatch):
    poison_losses(monkeypatch, lambda call: call in (2, 5))
    result = train(EXAMPLES, FP16, **SMALL)
    assert [row["step"] for row in result.history] == [3, 6]
    assert np.isfinite([row["loss"] for row in result.history]).all()
    assert all(bool(value.isfinite().all()) for value in result.model.network.state_dict().values())


def test_overflows_in_a_row_are_a_divergence(monkeypatch):
    poison_losses(monkeypatch, lambda call: call > 4)
    with pytest.raises(DivergedError, match="the best weights so far are kept"):
        train(EXAMPLES, replace(FP16, epochs=20), **SMALL)


def test_a_gradient_that_is_no_number_never_reaches_the_weights(monkeypatch):
    real = learner.deep_supervision_loss

    def root_of_zero(heads, target, weight, **settings):
        # The value is fine, its slope is infinite.
        return real(heads, target, weight, **settings) + (0.0 * heads[1]).sum().sqrt()

    monkeypatch.setattr(learner, "deep_supervision_loss", root_of_zero)
    with pytest.raises(DivergedError, match="at step 1; no epoch had been completed") as caught:
        train(EXAMPLES, QUICK, **SMALL)
    assert caught.value.result is None


def test_steps_limit_a_run():
    result = train(EXAMPLES, replace(QUICK, epochs=None, steps=7), **SMALL)
    assert [row["step"] for row in result.history] == [3, 6, 7]
    assert all("score" in row for row in result.history)


def test_a_run_without_end_is_ended_by_the_person():
    listener = Listener()
    answers = iter([False] * 11)
    options = replace(QUICK, epochs=None, until_stopped=True)
    result = train(EXAMPLES, options, should_stop=lambda: next(answers, True), on_event=listener, price=False, **SMALL)
    assert result.stopped
    assert listener.named("epoch")[0]["seconds_left"] is None


def test_snapshots_are_models_on_their_way():
    seen = []
    listener = Listener()
    train(EXAMPLES, QUICK, on_event=listener, on_snapshot=seen.append, snapshot_seconds=0.0, name="shown", **SMALL)
    assert len(seen) == 6
    assert [fields["step"] for fields in listener.named("step")] == [1, 2, 3, 4, 5, 6]
    assert {model.name for model in seen} == {"shown"}
    weights = [model.network.state_dict()["blocks.x_0_0.0.weight"] for model in seen]
    assert not torch.equal(weights[0], weights[-1])


def test_snapshots_are_not_more_often_than_asked():
    seen = []
    train(EXAMPLES, QUICK, on_snapshot=seen.append, snapshot_seconds=60.0, **SMALL)
    assert seen == []


@pytest.mark.parametrize("loss", ["dice_cross_entropy", "cross_entropy", "dice", "bce_dice"])
@pytest.mark.parametrize("classes", [("disc",), ("ground", "disc")], ids=["sigmoid", "softmax"])
def test_every_loss_trains(loss, classes):
    weights = {} if loss == "dice" else {"class_weights": (1.0, 3.0)}
    options = replace(QUICK, epochs=3, steps_per_epoch=12, batch_size=4, learning_rate=1e-2, loss=loss, **weights)
    result = train(as_masks(EXAMPLES), options, task="semantic", classes=classes, price=False, features=(8, 16))
    assert result.model.config.out_channels == len(classes)
    assert result.history[-1]["loss"] < 0.8 * result.history[0]["loss"]
    assert result.scores["iou"] > 0.5


def test_a_network_with_one_head_has_no_price_list():
    result = train(EXAMPLES, QUICK, architecture="unet", **SMALL)
    assert result.model.price_list == ()


def test_levels_are_priced_when_the_training_has_ended():
    listener = Listener()
    result = train(EXAMPLES, QUICK, on_event=listener, features=(4, 8, 16))
    assert "Measuring what each level" in listener.named("notice")[-1]["message"]
    assert [price.level for price in result.model.price_list] == [1, 2]
    assert result.model.price_list[1].score == pytest.approx(result.scores["score"], abs=1e-4)


def test_stopped_runs_are_not_priced():
    result = train(EXAMPLES, replace(QUICK, epochs=50), should_stop=lambda: True, features=(4, 8, 16))
    assert result.model.price_list == ()


def test_a_frozen_contracting_path_does_not_change():
    first = train(EXAMPLES, QUICK, price=False, **SMALL).model
    second = train(EXAMPLES, replace(QUICK, encoder_rate=0.0), model=first, price=False).model
    before, after = first.network.state_dict(), second.network.state_dict()
    for name, values in before.items():
        frozen = name.startswith(("blocks.x_0_0.", "blocks.x_1_0."))
        counts = name.endswith("num_batches_tracked")
        assert torch.equal(values, after[name]) == frozen, name
        assert not counts or frozen or after[name] > values


def test_frozen_norm_keeps_its_statistics():
    first = train(EXAMPLES, QUICK, price=False, **SMALL).model
    second = train(EXAMPLES, replace(QUICK, freeze_norm=True), model=first, price=False).model
    before, after = first.network.state_dict(), second.network.state_dict()
    kept = [name for name in before if torch.equal(before[name], after[name])]
    assert kept == [name for name in before if "running_" in name or "num_batches" in name]


def test_the_time_spent_waiting_is_told():
    listener = Listener()
    train(EXAMPLES, QUICK, on_event=listener, **SMALL)
    done = listener.named("done")[0]
    assert 0 <= done["waited"] <= done["seconds"] + 0.1


def two_channels():
    return [replace(one, image=Image.from_array(np.stack([np.asarray(one.image.data)] * 2), "CYX")) for one in EXAMPLES]


@pytest.mark.parametrize(
    ("examples", "options", "settings", "error", "message"),
    [
        (EXAMPLES, QUICK, {"spatial_dims": 3}, ConfigError, "the network is 3D, but the images are 2D"),
        (EXAMPLES, QUICK, {"task": "semantic", "classes": ("only",)}, DatasetError, r"class indices 0\.\.1"),
        (EXAMPLES, replace(QUICK, class_weights=(1.0, 2.0)), {}, TrainingError, "each of the 3 classes, not 2"),
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
    ids=[
        "dims",
        "classes",
        "class weights",
        "patch grid",
        "patch dims",
        "device",
        "channels",
        "two and three",
        "mixed",
    ],
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
    volumes = [example(number, (16, 24, 24)) for number in range(2)]
    model = train(volumes, replace(QUICK, patch_size=(8, 16, 16)), price=False, **SMALL, spatial_dims=3).model
    with pytest.raises(ConfigError, match="the network is 3D, but the images are 2D"):
        train(EXAMPLES, QUICK, model=model)


def test_a_model_brings_its_settings():
    model = train(EXAMPLES, QUICK, price=False, **SMALL).model
    with pytest.raises(TrainingError, match="leave out"):
        train(EXAMPLES, QUICK, model=model, name="other")
