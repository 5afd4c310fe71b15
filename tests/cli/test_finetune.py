"""``napari-seamless finetune``: corrections from files and workspaces, a model and a verdict out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_seamless.cli.main import main
from napari_seamless.images.read import open_image
from napari_seamless.models.model import create_model
from napari_seamless.models.package import read_package, save_model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.workspace.opening import open_workspace
from tests.training.conftest import discs

CONFIG = NetworkConfig(architecture="unetpp", in_channels=1, out_channels=3, features=(4, 8), deep_supervision=True)


@pytest.fixture
def parent(tmp_path):
    return str(save_model(create_model(CONFIG, task="instances", name="parent"), tmp_path / "parent"))


@pytest.fixture
def files(tmp_path):
    image, labels = discs(0, (128, 128), 20)
    mask = np.zeros(labels.shape, np.uint8)
    mask[:50, :50] = mask[:50, 80:] = 1
    for name, array in (("image", image), ("labels", labels), ("mask", mask)):
        tifffile.imwrite(tmp_path / f"{name}.tif", array)
    return [
        *("--image", str(tmp_path / "image.tif"), "--labels", str(tmp_path / "labels.tif")),
        *("--verified", str(tmp_path / "mask.tif")),
    ]


QUICK = ["--steps", "2", "--patch-size", "32,32", "--batch-size", "2", "--device", "cpu"]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_files_in_a_model_and_a_verdict_out(parent, files, tmp_path, capsys):
    events = tmp_path / "events.jsonl"
    out = tmp_path / "child"
    assert main(["finetune", "--model", parent, *files, "--out", str(out), *QUICK, "--events", str(events)]) == 0
    child = read_package(out)
    assert (child.name, child.parent) == ("child", "parent")
    assert child.card.training_data[-1] == "image.tif"
    lines = lines_of(events)
    (comparison,) = [line for line in lines if line["event"] == "comparison"]
    assert comparison["verdict"] in capsys.readouterr().out
    assert {"before", "after", "better", "judged"} <= set(comparison)
    assert [line["event"] for line in lines][-1] == "written"
    assert (tmp_path / "child.curves.csv").exists()
    assert not (tmp_path / "child.checkpoint.safetensors").exists()


def test_a_workspace_is_learned_from_as_it_is(parent, tmp_path):
    image, labels = discs(0, (128, 128), 20)
    tifffile.imwrite(tmp_path / "cells.tif", image)
    with open_workspace(open_image(tmp_path / "cells.tif")) as workspace:
        for columns in ((0, 50), (78, 128)):
            region = {"Y": (0, 128), "X": columns}
            workspace.record_edit(region, labels[:, slice(*columns)])
            workspace.verify_region(region)
        workspace.flush()
        arguments = ["finetune", "--model", parent, "--workspace", str(workspace.folder), *QUICK]
        assert main([*arguments, "--out", str(tmp_path / "child")]) == 0
    assert read_package(tmp_path / "child").card.training_data[-1] == "cells.tif.seamless"


def test_previews_are_models(parent, files, tmp_path):
    events, preview = tmp_path / "events.jsonl", tmp_path / "preview"
    arguments = ["finetune", "--model", parent, *files, "--out", str(tmp_path / "child"), *QUICK]
    arguments += ["--preview", str(preview), "--preview-seconds", "0", "--events", str(events)]
    assert main(arguments) == 0
    snapshots = [line for line in lines_of(events) if line["event"] == "snapshot"]
    assert [line["path"] for line in snapshots] == [str(preview)] * 2
    assert read_package(preview).config == CONFIG


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "fine-tuning needs corrections: give --workspace"),
        (["--image", "a.tif"], "every --image needs its --labels"),
        (["--dataset", "nowhere"], "is not a folder: a data set is a folder"),
        (["--workspace", "nowhere"], "nowhere is no workspace"),
    ],
)
def test_wrong_corrections_are_named_before_anything_is_done(parent, tmp_path, capsys, arguments, message):
    assert main(["finetune", "--model", parent, "--out", str(tmp_path / "child"), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "child").exists()


def test_an_existing_model_is_not_overwritten(parent, files, capsys):
    assert main(["finetune", "--model", parent, *files, "--out", parent, *QUICK]) == 1
    assert "exists already" in capsys.readouterr().err


def test_one_channel_of_several_is_learned_from(parent, files, tmp_path, capsys):
    image = tifffile.imread(tmp_path / "image.tif")
    tifffile.imwrite(tmp_path / "image.tif", np.stack([np.zeros_like(image), image]), metadata={"axes": "CYX"})
    assert main(["finetune", "--model", parent, *files, "--out", str(tmp_path / "child"), *QUICK]) == 1
    assert "channel" in capsys.readouterr().err
    words = ["finetune", "--model", parent, *files, "--channel", "1", "--out", str(tmp_path / "child"), *QUICK]
    assert main(words) == 0
    assert read_package(tmp_path / "child").parent == "parent"
