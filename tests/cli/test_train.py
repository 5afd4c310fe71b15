"""``train``: a folder of images and labels in, a model out; Ctrl-C keeps what was learnt."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seamless import load_model
from napari_seamless.cli.network_options import NETWORK_GROUP
from napari_seamless.cli.train_options import AUGMENTATION_GROUP, TARGETS_GROUP, TRAINING_GROUP
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.training import loop
from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.target_options import TargetOptions

TINY = ("--features", "4,8", "--patch-size", "32,32", "--batch-size", "2", "--device", "cpu")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six images of bright discs, with a label for each disc."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(6):
        labels = np.zeros((64, 64), dtype=np.uint16)
        for number, (row, column) in enumerate(random.integers(10, 54, (4, 2)), start=1):
            labels[(rows - row) ** 2 + (columns - column) ** 2 < 50] = number
        pixels = random.normal(100, 5, (64, 64)) + 200 * (labels > 0)
        tifffile.imwrite(tmp_path / "data" / "images" / f"{index}.tif", pixels.astype(np.uint16))
        tifffile.imwrite(tmp_path / "data" / "labels" / f"{index}.tif", labels)
    return tmp_path / "data"


@pytest.fixture
def painted_workspace(dataset: Path, tmp_path: Path) -> Path:
    """The workspace of one image whose labels are all marked as right."""
    from napari_seamless import open_image
    from napari_seamless.workspace.opening import open_workspace

    with open_workspace(open_image(dataset / "images" / "0.tif"), tmp_path / "field.seamless") as workspace:
        workspace.record_edit({}, tifffile.imread(dataset / "labels" / "0.tif"))
        workspace.verify_region({})
    return tmp_path / "field.seamless"


def test_model_is_saved_with_its_card(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    out, lines = tmp_path / "discs", tmp_path / "events.jsonl"
    card = ("--description", "bright discs", "--licence", "CC0-1.0", "--source", "made in code")
    answer = run("train", dataset, "--out", out, "--epochs", 1, *TINY, *card, "--events", lines, "--half")
    assert answer.code == 0, answer.err
    assert "1 epoch in " in answer.out
    assert answer.out.endswith(f"model: {out}\n")
    model = load_model(out)
    assert (model.name, model.task, model.config.features) == ("discs", "instances", (4, 8))
    assert model.card.description == "bright discs"
    assert model.card.training_data == ("made in code",)
    assert model.card.command.startswith(f"napari-seamless train {dataset} --out {out} --epochs 1 ")
    assert "ap50" in model.card.scores
    names = [json.loads(line)["event"] for line in lines.read_text().splitlines()]
    names = [name for name in names if name != "step"]
    assert names[-4:] == ["epoch", "validation", "done", "written"]
    assert "epoch 1: loss " in answer.err


def test_semantic_classes_have_names(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    for path in (dataset / "labels").iterdir():
        tifffile.imwrite(path, (tifffile.imread(path) > 0).astype(np.uint8))
    words = ("--task", "semantic", "--classes", "ground,disc", "--architecture", "unet", "--epochs", 1)
    answer = run("train", dataset, "--out", tmp_path / "discs.zip", *words, *TINY)
    assert answer.code == 0, answer.err
    model = load_model(tmp_path / "discs.zip")
    assert (model.task, model.classes, model.config.architecture) == ("semantic", ("ground", "disc"), "unet")


def test_existing_model_is_refused_before_training(
    run: Callable[..., object], dataset: Path, semantic_model: Path
) -> None:
    answer = run("train", dataset, "--out", semantic_model, *TINY)
    assert answer.code == 1
    assert "exists already" in answer.err
    assert "epoch" not in answer.err


def test_folder_that_is_no_dataset(run: Callable[..., object], tmp_path: Path) -> None:
    answer = run("train", tmp_path, "--out", tmp_path / "model", *TINY)
    assert answer.code == 1
    assert "images/ and labels/" in answer.err
    assert not (tmp_path / "model").exists()


def test_numbers_that_are_none_are_wrong_usage(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    answer = run("train", dataset, "--out", tmp_path / "model", "--features", "4,many")
    assert answer.code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals; test_interrupt.py stands in")
def test_interrupted_training_keeps_the_best_weights(
    start: Callable[..., subprocess.Popen[str]], dataset: Path, tmp_path: Path
) -> None:
    with start("train", dataset, "--out", tmp_path / "discs", "--epochs", 10000, *TINY, "--events", "-") as process:
        for line in process.stdout:
            if json.loads(line)["event"] == "validation":
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"the best weights are in {tmp_path / 'discs'}" in errors
    assert "Traceback" not in errors
    assert load_model(tmp_path / "discs").card.scores


def test_training_goes_on_from_a_model(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("train", dataset, "--out", first, "--epochs", 1, *TINY).code == 0
    words = ("--start-from", first, "--epochs", 1, "--learning-rate", 1e-9, "--patch-size", "32,32", "--device", "cpu")
    answer = run("train", dataset, "--out", second, *words)
    assert answer.code == 0, answer.err
    before, after = load_model(first), load_model(second)
    assert (after.name, after.parent, after.config) == ("second", "first", before.config)
    kernels = [name for name, values in before.network.state_dict().items() if values.ndim == 4]
    for name in kernels:
        difference = after.network.state_dict()[name] - before.network.state_dict()[name]
        assert float(difference.abs().max()) < 1e-5


class Caught(Exception):
    """Ends a command where its training would begin."""


@pytest.fixture
def trained_with(run: Callable[..., object], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the command without its training; return what it would have trained with."""

    def catch(*words: object) -> dict[str, object]:
        caught: dict[str, object] = {}

        def instead(examples: object, options: object, **others: object) -> None:
            caught.update(others, options=options)
            raise Caught

        monkeypatch.setattr(loop, "train", instead)
        answer = run("train", dataset, "--out", tmp_path / "model", *words)
        assert "Caught" in answer.err, answer.err
        return caught

    return catch


def test_what_nobody_says_is_the_default(trained_with: Callable[..., dict[str, object]]) -> None:
    caught = trained_with()
    assert caught["options"] == TrainingOptions()
    assert caught["features"] == (16, 32, 64, 128, 256)
    assert caught["architecture"] == "unetpp"


def test_every_option_of_the_library_is_one_of_the_command() -> None:
    for group, options, derived in (
        (TRAINING_GROUP, TrainingOptions, {"augmentation", "targets"}),
        (AUGMENTATION_GROUP, AugmentationOptions, set()),
        (TARGETS_GROUP, TargetOptions, set()),
        # The data and the classes say how many channels there are.
        (NETWORK_GROUP, NetworkConfig, {"in_channels", "out_channels"}),
    ):
        assert {field.name for field in fields(options)} - derived <= set(group.options)
        assert set(group.options) == set(group.defaults)


TRAINING_WORDS = {
    "seconds": ("--seconds", "7.5", 7.5),
    "epochs": ("--epochs", "7", 7),
    "steps": ("--steps", "70", 70),
    "patch_size": ("--patch-size", "32,64", (32, 64)),
    "batch_size": ("--batch-size", "3", 3),
    "steps_per_epoch": ("--steps-per-epoch", "9", 9),
    "optimiser": ("--optimiser", "sgd", "sgd"),
    "learning_rate": ("--learning-rate", "0.5", 0.5),
    "encoder_rate": ("--encoder-rate", "0.25", 0.25),
    "weight_decay": ("--weight-decay", "0.1", 0.1),
    "average_decay": ("--average-decay", "0.5", 0.5),
    "gradient_limit": ("--gradient-limit", "5", 5.0),
    "validation_fraction": ("--validation-fraction", "0.3", 0.3),
    "patience": ("--patience", "4", 4),
    "seed": ("--seed", "11", 11),
    "precision": ("--precision", "fp16", "fp16"),
    "device": ("--device", "cpu", "cpu"),
    "loss": ("--loss", "bce_dice", "bce_dice"),
    "class_weights": ("--class-weights", "1,2.5,3", (1.0, 2.5, 3.0)),
    "deep_supervision": ("--deep-supervision", "ramp", "ramp"),
    "checkpoint_seconds": ("--checkpoint-seconds", "5", 5.0),
}
AUGMENTATION_WORDS = {
    "rotation": ("--rotation", "20", 20.0),
    "scaling": ("--scaling", "1.2", 1.2),
    "elastic": ("--elastic", "0", 0.0),
    "intensity": ("--intensity", "0.5", 0.5),
    "colour": ("--colour", "2", 2.0),
}
TARGET_WORDS = {
    "weighting": ("--weighting", "border", "border"),
    "border_weight": ("--border-weight", "3", 3.0),
    "border_sigma": ("--border-sigma", "2", 2.0),
    "border_unit": ("--border-unit", "um", "um"),
    "cell_class": ("--cell-class", "0", 0),
}
NETWORK_WORDS = {
    "architecture": ("--architecture", "unet", "unet"),
    "spatial_dims": ("--dims", "3", 3),
    "features": ("--features", "4,8,16", (4, 8, 16)),
    "padding": ("--padding", "valid", "valid"),
    "upsample": ("--upsample", "nearest", "nearest"),
    "norm": ("--norm", "none", "none"),
    "dropout": ("--dropout", "0.5", 0.5),
    "pool_sizes": ("--pool-sizes", "1x2x2,2x2x2", ((1, 2, 2), (2, 2, 2))),
    "widening": ("--widening", "before_pooling", "before_pooling"),
    "input_kind": ("--input", "colour", "colour"),
    "classes": ("--classes", "ground,cell", ("ground", "cell")),
}


def said(words: dict[str, tuple[str, str, object]]) -> list[str]:
    return [word for name, value, _ in words.values() for word in (name, value)]


def meant(words: dict[str, tuple[str, str, object]]) -> dict[str, object]:
    return {key: value for key, (_, _, value) in words.items()}


def test_every_option_reaches_the_training(trained_with: Callable[..., dict[str, object]]) -> None:
    words = [*said(TRAINING_WORDS), *said(AUGMENTATION_WORDS), *said(TARGET_WORDS), *said(NETWORK_WORDS)]
    flags = ("--freeze-norm", "--no-flips", "--no-right-angles", "--no-deep-supervision")
    caught = trained_with(*words, *flags, "--preview", "preview", "--preview-seconds", 3)
    assert caught["options"] == TrainingOptions(
        **meant(TRAINING_WORDS),
        freeze_norm=True,
        augmentation=AugmentationOptions(**meant(AUGMENTATION_WORDS), flips=False, right_angles=False),
        targets=TargetOptions(**meant(TARGET_WORDS)),
    )
    assert {key: caught[key] for key in NETWORK_WORDS} == meant(NETWORK_WORDS)
    assert caught["deep_supervision"] is False
    assert caught["snapshot_seconds"] == 3


def test_a_run_until_stopped(trained_with: Callable[..., dict[str, object]]) -> None:
    assert trained_with("--until-stopped")["options"] == TrainingOptions(until_stopped=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--class-weights", "many"), "one number a class such as 1,5"),
        (("--pool-sizes", "1x2,a"), "factors such as 1x2x2,2x2x2"),
        (("--start-from", "nuclei-2d", "--features", "4,8", "--dropout", "0.5"), "leave out features, dropout"),
    ],
    ids=["class weights", "pool sizes", "network of a model"],
)
def test_wrong_usage(
    run: Callable[..., object], dataset: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    answer = run("train", dataset, "--out", tmp_path / "model", *words)
    assert answer.code == 2
    assert message in " ".join(answer.err.replace("│", "").split())


def test_options_that_contradict_each_other(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    answer = run("train", dataset, "--out", tmp_path / "model", "--until-stopped", "--seconds", 5)
    assert answer.code == 1
    assert "until_stopped means no limit" in answer.err


def test_curves_lie_beside_the_model(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    assert run("train", dataset, "--out", tmp_path / "discs.zip", "--epochs", 2, *TINY).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"data", "discs.zip", "discs.curves.csv", "discs.curves.png"}
    assert len((tmp_path / "discs.curves.csv").read_text().splitlines()) == 3


def test_previews_are_models(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    lines, preview = tmp_path / "events.jsonl", tmp_path / "preview"
    words = ("--epochs", 1, "--steps-per-epoch", 3, "--preview", preview, "--preview-seconds", 0, "--events", lines)
    answer = run("train", dataset, "--out", tmp_path / "discs", *words, *TINY)
    assert answer.code == 0, answer.err
    events = [json.loads(line) for line in lines.read_text().splitlines()]
    shown = [event for event in events if event["event"] == "snapshot"]
    assert [(event["step"], event["path"]) for event in shown] == [(step, str(preview)) for step in (1, 2, 3)]
    assert load_model(preview).config.features == (4, 8)


def test_a_preview_replaces_nothing_but_models(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    answer = run("train", dataset, "--out", tmp_path / "discs", "--preview", dataset, *TINY)
    assert answer.code == 1
    assert "exists already" in answer.err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals; test_interrupt.py stands in")
def test_an_interrupted_training_goes_on(
    run: Callable[..., object], start: Callable[..., subprocess.Popen[str]], dataset: Path, tmp_path: Path
) -> None:
    out, checkpoint = tmp_path / "discs", tmp_path / "discs.checkpoint.safetensors"
    words = ("train", dataset, "--out", out, "--epochs", 60, "--steps-per-epoch", 2, "--patience", 60, *TINY)
    with start(*words, "--events", "-") as process:
        for line in process.stdout:
            if json.loads(line)["event"] == "validation":
                break
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Go on with --resume" in errors
    assert checkpoint.exists()

    refused = run(*words)
    assert refused.code == 1
    assert "--resume" in refused.err
    assert "--overwrite" in refused.err

    changed = run(*words, "--learning-rate", 0.1, "--resume")
    assert changed.code == 1
    assert "learning_rate (it was 0.002, now 0.1)" in changed.err
    assert "--overwrite" in changed.err

    answer = run(*words, "--resume")
    assert answer.code == 0, answer.err
    assert "Going on from step" in answer.err
    assert not checkpoint.exists()
    assert len((tmp_path / "discs.curves.csv").read_text().splitlines()) == 61
    assert load_model(out).card.scores


def test_overwriting_starts_afresh(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    out, checkpoint = tmp_path / "discs", tmp_path / "discs.checkpoint.safetensors"
    checkpoint.write_text("left by a run that nobody remembers")
    assert run("train", dataset, "--out", out, "--epochs", 1, *TINY).code == 1
    assert run("train", dataset, "--out", out, "--epochs", 1, *TINY, "--overwrite").code == 0
    assert not checkpoint.exists()


def test_a_workspace_is_a_dataset(run: Callable[..., object], painted_workspace: Path, tmp_path: Path) -> None:
    answer = run("train", painted_workspace, "--out", tmp_path / "discs", "--epochs", 1, *TINY)
    assert answer.code == 0, answer.err
    assert load_model(tmp_path / "discs").card.training_data == (painted_workspace.name,)
