"""Checkpoints: a run that goes on gives what an uninterrupted one gives, bit for bit; nothing else goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_seamless.errors import FileWriteError, OutputExistsError, TrainingError
from napari_seamless.training import checkpoint as checkpoints
from napari_seamless.training import run
from napari_seamless.training.checkpoint import checkpoint_path, read_checkpoint, remove_checkpoint
from napari_seamless.training.loop import train
from napari_seamless.training.options import TrainingOptions
from tests.training.conftest import example

OPTIONS = TrainingOptions(
    epochs=4, steps_per_epoch=3, patch_size=(32, 32), batch_size=2, device="cpu", precision="fp32", patience=4
)
SMALL = {"features": (4, 8), "dropout": 0.5, "price": False}
EXAMPLES = [example(number) for number in range(4)]


class StopAfter:
    """Answers True from the given call on."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.checkpoint.safetensors"


def without_times(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def assert_same(first, second):
    assert without_times(first.history) == without_times(second.history)
    assert first.scores == second.scores
    weights = first.model.network.state_dict(), second.model.network.state_dict()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def stopped_after(monkeypatch, steps, path, options=OPTIONS, examples=EXAMPLES, **settings):
    """Stop a run after so many steps, whatever validation asks in between."""
    real = run.score_examples
    monkeypatch.setattr(run, "score_examples", lambda *given: real(*given[:4]))
    result = train(examples, options, checkpoint=path, should_stop=StopAfter(steps), **{**SMALL, **settings})
    assert result.stopped
    assert path.exists()
    return result


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, 1),
        ({}, 6),
        ({}, 7),
        ({"optimiser": "sgd", "learning_rate": 1e-4}, 6),
        ({"precision": "bf16"}, 6),
        ({"precision": "fp16"}, 7),
        ({"average_decay": 0.0}, 6),
        ({"encoder_rate": 0.0, "freeze_norm": True}, 7),
        ({"deep_supervision": "compounding", "class_weights": "balanced"}, 7),
        ({"epochs": None, "steps": 11}, 10),
    ],
    ids=str,
)
def test_two_and_two_epochs_are_four(monkeypatch, path, changes, steps):
    options = replace(OPTIONS, **changes)
    whole = train(EXAMPLES, options, **SMALL)
    stopped_after(monkeypatch, steps, path, options)
    assert_same(train(EXAMPLES, options, checkpoint=path, resume=True, **SMALL), whole)
    assert not path.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": "unet", "upsample": "unpool"},
        {"padding": "valid", "architecture": "unet"},
        {"task": "semantic", "norm": "none"},
    ],
    ids=str,
)
def test_every_network_goes_on(monkeypatch, path, settings):
    whole = train(EXAMPLES, OPTIONS, **SMALL, **settings)
    stopped_after(monkeypatch, 6, path, **settings)
    assert_same(train(EXAMPLES, OPTIONS, checkpoint=path, resume=True, **SMALL, **settings), whole)


def test_a_run_without_validation_goes_on(monkeypatch, path):
    real = run.Run.__init__

    def without_validation(self, setup, *others):
        real(self, replace(setup, validation=[]), *others)

    monkeypatch.setattr(run.Run, "__init__", without_validation)
    whole = train(EXAMPLES, OPTIONS, **SMALL)
    assert whole.scores == {}
    stopped = stopped_after(monkeypatch, 7, path)
    assert [row["step"] for row in stopped.history] == [3, 6, 7]
    assert_same(train(EXAMPLES, OPTIONS, checkpoint=path, resume=True, **SMALL), whole)


def test_a_stop_during_validation_is_validated_later(path):
    whole = train(EXAMPLES, OPTIONS, **SMALL)
    # Three steps ask thrice; then the validation asks.
    stopped = train(EXAMPLES, OPTIONS, checkpoint=path, should_stop=StopAfter(4), **SMALL)
    assert stopped.history[-1]["step"] == 3
    assert "score" not in stopped.history[-1]
    assert_same(train(EXAMPLES, OPTIONS, checkpoint=path, resume=True, **SMALL), whole)


def test_going_on_many_times(monkeypatch, path):
    whole = train(EXAMPLES, OPTIONS, **SMALL)
    stopped_after(monkeypatch, 2, path)
    for steps in (1, 3, 4):
        assert train(EXAMPLES, OPTIONS, checkpoint=path, resume=True, should_stop=StopAfter(steps), **SMALL).stopped
    assert_same(train(EXAMPLES, OPTIONS, checkpoint=path, resume=True, **SMALL), whole)


def test_the_best_weights_survive(monkeypatch, path):
    scores = iter([0.9, 0.2, 0.1, 0.3])
    judged = []

    def score(model, *_):
        judged.append(model.network.state_dict())
        return {"score": next(scores)}

    monkeypatch.setattr(run, "score_examples", score)
    train(EXAMPLES, OPTIONS, checkpoint=path, should_stop=StopAfter(7), **SMALL)
    result = train(EXAMPLES, OPTIONS, checkpoint=path, resume=True, **SMALL)
    assert result.scores["score"] == 0.9
    kept = result.model.network.state_dict()
    assert all(torch.equal(kept[name], judged[0][name]) for name in kept)


def test_early_stopping_counts_on(monkeypatch, path):
    monkeypatch.setattr(run, "score_examples", lambda *_: {"score": 0.5})
    options = replace(OPTIONS, epochs=50, patience=3)
    train(EXAMPLES, options, checkpoint=path, should_stop=StopAfter(8), **SMALL)
    assert len(train(EXAMPLES, options, checkpoint=path, resume=True, **SMALL).history) == 4


def test_used_seconds_count(path):
    options = replace(OPTIONS, epochs=None, seconds=3600.0)
    train(EXAMPLES, options, checkpoint=path, should_stop=StopAfter(2), **SMALL)
    description = metadata_of(path)
    description["facts"]["run"]["seconds"] = 3599.9
    rewrite(path, description)
    result = train(EXAMPLES, options, checkpoint=path, resume=True, **SMALL)
    assert not result.stopped
    assert result.history[-1]["seconds"] >= 3599.9


def test_a_finished_run_that_was_kept_gives_its_result_at_once(path):
    whole = train(EXAMPLES, OPTIONS, checkpoint=path, keep_checkpoint=True, **SMALL)
    assert path.exists()
    began = time.monotonic()
    assert_same(train(EXAMPLES, OPTIONS, checkpoint=path, resume=True, **SMALL), whole)
    assert time.monotonic() - began < 5
    assert not path.exists()


def test_written_at_every_best_and_every_so_many_seconds(monkeypatch, path):
    written = []
    real = checkpoints.write_checkpoint

    def write(checkpoint, place):
        written.append(checkpoint.facts["run"]["step"])
        real(checkpoint, place)

    monkeypatch.setattr("napari_seamless.training.keeping.write_checkpoint", write)
    scores = iter([0.1, 0.7, 0.3, 0.8])
    monkeypatch.setattr(run, "score_examples", lambda *_: {"score": next(scores)})
    train(EXAMPLES, OPTIONS, checkpoint=path, **SMALL)
    assert written == [3, 6, 12]
    written.clear()
    scores = iter([0.1, 0.0, 0.0, 0.0])
    train(EXAMPLES, replace(OPTIONS, checkpoint_seconds=0.0), checkpoint=path, **SMALL)
    assert sorted(set(written)) == list(range(1, 13))


def test_a_full_disk_does_not_end_the_training(monkeypatch, path):
    def full(checkpoint, place):
        raise FileWriteError("no space left")

    monkeypatch.setattr("napari_seamless.training.keeping.write_checkpoint", full)
    notices = []
    result = train(
        EXAMPLES,
        OPTIONS,
        checkpoint=path,
        on_event=lambda event: notices.append(event.fields.get("message", "")),
        **SMALL,
    )
    assert len(result.history) == 4
    assert "no space left. The training goes on." in notices


def test_a_diverged_run_leaves_no_checkpoint(monkeypatch, path):
    from tests.training.test_loop import DivergedError, poison_losses

    poison_losses(monkeypatch, lambda call: call == 8)
    with pytest.raises(DivergedError):
        train(EXAMPLES, OPTIONS, checkpoint=path, **SMALL)
    assert not path.exists()


def test_a_checkpoint_is_not_taken_for_nothing(path):
    train(EXAMPLES, OPTIONS, checkpoint=path, should_stop=StopAfter(1), **SMALL)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match=r"--resume .*resume=True.* or start afresh with --overwrite"):
        train(EXAMPLES, OPTIONS, checkpoint=path, **SMALL)
    assert path.read_bytes() == before
    assert len(train(EXAMPLES, OPTIONS, checkpoint=path, overwrite=True, **SMALL).history) == 4


def test_nothing_to_go_on_from_is_a_new_run(path):
    messages = []
    result = train(
        EXAMPLES,
        OPTIONS,
        checkpoint=path,
        resume=True,
        on_event=lambda event: messages.append(event.fields.get("message", "")),
        **SMALL,
    )
    assert len(result.history) == 4
    assert "There is no checkpoint to go on from: starting from the beginning." in messages
    with pytest.raises(TrainingError, match="give `checkpoint`, too"):
        train(EXAMPLES, OPTIONS, resume=True, **SMALL)


@pytest.mark.parametrize(
    ("examples", "options", "settings", "message"),
    [
        (EXAMPLES, replace(OPTIONS, learning_rate=1e-3), {}, r"learning_rate \(it was 0.002, now 0.001\)"),
        (EXAMPLES, replace(OPTIONS, epochs=5), {}, r"epochs \(it was 4, now 5\)"),
        (
            EXAMPLES,
            replace(OPTIONS, augmentation=replace(OPTIONS.augmentation, elastic=0.5)),
            {},
            "augmentation.elastic",
        ),
        (EXAMPLES, OPTIONS, {"features": (4, 16)}, "model's features"),
        (EXAMPLES, OPTIONS, {"dropout": 0.1}, "model's dropout"),
        (EXAMPLES, OPTIONS, {"task": "semantic"}, "model's classes"),
        (EXAMPLES[:3], OPTIONS, {}, r"the images \(there were 4, now 3\)"),
        ([*EXAMPLES[:3], example(7)], OPTIONS, {}, r"image 3 of shape \[64, 64\] is now image 7"),
        ([replace(EXAMPLES[0], role="validation"), *EXAMPLES[1:]], OPTIONS, {}, "what counts of the image image 0"),
        (EXAMPLES, replace(OPTIONS, seed=1), {}, "seed"),
    ],
    ids=[
        "rate",
        "epochs",
        "augmentation",
        "features",
        "dropout",
        "task",
        "fewer images",
        "other image",
        "role",
        "seed",
    ],
)
def test_only_the_same_run_goes_on(path, examples, options, settings, message):
    train(EXAMPLES, OPTIONS, checkpoint=path, should_stop=StopAfter(1), **SMALL)
    with pytest.raises(TrainingError, match=message):
        train(examples, options, checkpoint=path, resume=True, **{**SMALL, **settings})
    assert path.exists()


def test_another_parent_does_not_go_on(path):
    first, second = (train(EXAMPLES, replace(OPTIONS, epochs=1, seed=seed), **SMALL).model for seed in (0, 1))
    train(EXAMPLES, OPTIONS, checkpoint=path, should_stop=StopAfter(1), model=first)
    with pytest.raises(TrainingError, match="the weights that the model began with"):
        train(EXAMPLES, OPTIONS, checkpoint=path, resume=True, model=second)


def test_a_changed_interval_or_device_does_not_matter(path):
    train(EXAMPLES, OPTIONS, checkpoint=path, should_stop=StopAfter(1), **SMALL)
    options = replace(OPTIONS, checkpoint_seconds=5.0, device="auto")
    assert train(EXAMPLES, options, checkpoint=path, resume=True, **SMALL).history


def metadata_of(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["checkpoint"])


def rewrite(path, description, tensors=None):
    save_file(tensors or load_file(path), path, metadata={"checkpoint": json.dumps(description)})


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_kind(path):
    rewrite(path, {**metadata_of(path), "kind": "something else"})


def newer(path):
    rewrite(path, {**metadata_of(path), "format_version": 99})


def without_metadata(path):
    save_file(load_file(path), path)


def without_a_tensor(path):
    tensors = load_file(path)
    del tensors["random.cpu"]
    rewrite(path, metadata_of(path), tensors)


def without_counters(path):
    description = metadata_of(path)
    del description["facts"]["run"]["step"]
    rewrite(path, description)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (cut_off, "is not a training checkpoint, or is damaged .*--overwrite"),
        (lambda path: path.write_bytes(b""), "is not a training checkpoint, or is damaged"),
        (lambda path: path.write_text("hello"), "is not a training checkpoint, or is damaged"),
        (without_metadata, "is not a training checkpoint, or is damaged"),
        (other_kind, "is not a training checkpoint, or is damaged"),
        (newer, "has format version 99, this program reads up to 1: update"),
        (without_a_tensor, "is not a training checkpoint, or is damaged"),
        (without_counters, "is not a training checkpoint, or is damaged"),
    ],
    ids=["cut off", "empty", "text", "no metadata", "other kind", "newer", "a tensor is missing", "no counters"],
)
def test_damaged_files_are_refused(path, harm, message):
    train(EXAMPLES, OPTIONS, checkpoint=path, should_stop=StopAfter(1), **SMALL)
    harm(path)
    with pytest.raises(TrainingError, match=message):
        train(EXAMPLES, OPTIONS, checkpoint=path, resume=True, **SMALL)


def test_a_place_that_takes_no_file(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    saved = checkpoints.Checkpoint({"x": torch.zeros(1)}, {}, {}, {})
    with pytest.raises(FileWriteError, match=r"the checkpoint .* cannot be written"):
        checkpoints.write_checkpoint(saved, blocked / "run.checkpoint.safetensors")


def test_the_file_is_beside_the_model():
    assert checkpoint_path(Path("a/b.zip")) == Path("a/b.checkpoint.safetensors")
    assert checkpoint_path(Path("a/b.v2")) == Path("a/b.v2.checkpoint.safetensors")


def test_removing_takes_leftovers_along(path):
    leftover = path.with_name(f".{path.name}.partial")
    for file in (path, leftover):
        file.write_text("")
    remove_checkpoint(path)
    remove_checkpoint(path)
    assert not list(path.parent.iterdir())


CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
from napari_seamless.training.loop import train
from tests.training.test_checkpoint import EXAMPLES, OPTIONS, SMALL
train(EXAMPLES, replace(OPTIONS, epochs=100000, patience=100000, checkpoint_seconds=0.0),
      checkpoint=Path(sys.argv[1]), resume=True, **SMALL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_killed_run_leaves_a_whole_checkpoint(path):
    """The process is killed at random moments while it does little else than write checkpoints."""
    random = np.random.default_rng(0)
    step = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], cwd=Path(__file__).parents[2]) as child:
            before = path.stat().st_mtime_ns if path.exists() else 0
            deadline = time.monotonic() + 60
            while not (path.exists() and path.stat().st_mtime_ns != before):
                assert time.monotonic() < deadline
                assert child.poll() is None
                time.sleep(0.005)
            time.sleep(random.uniform(0.0, 0.3))
            child.send_signal(signal.SIGKILL)
        saved = read_checkpoint(path)
        assert saved.facts["run"]["step"] > step
        step = saved.facts["run"]["step"]
    options = replace(OPTIONS, epochs=100000, patience=100000, checkpoint_seconds=0.0)
    result = train(EXAMPLES, options, checkpoint=path, resume=True, should_stop=StopAfter(2), **SMALL)
    assert result.history[-1]["step"] > step
