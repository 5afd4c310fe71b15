"""Which model came from which; nothing that was adopted is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_seamless.errors import ModelError, OutputExistsError, WorkspaceError
from napari_seamless.models.model import Model, create_model
from napari_seamless.models.package import save_model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.workspace.lineage import Lineage


@pytest.fixture(scope="module")
def model() -> Model:
    config = NetworkConfig(architecture="unet", spatial_dims=2, in_channels=1, out_channels=2, features=(2, 2))
    return create_model(config, name="cells")


@pytest.fixture
def lineage(tmp_path: Path, model: Model) -> Lineage:
    lineage = Lineage(tmp_path / "models")
    lineage.adopt(model, parent="cells", before={"iou": 0.71}, after={"iou": 0.83}, trained_on=["a.tif: slice Z 3"])
    lineage.adopt(model, parent="cells-2", verdict="better")
    lineage.adopt(model, parent="cells-3", name="best")
    return lineage


def test_adopted_models_say_where_they_come_from(lineage: Lineage) -> None:
    first, second, third = Lineage(lineage.folder).entries()
    assert (first.name, first.parent, first.after, first.trained_on) == (
        "cells-2",
        "cells",
        {"iou": 0.83},
        ("a.tif: slice Z 3",),
    )
    assert (second.name, second.verdict, third.name) == ("cells-3", "better", "best")
    assert [entry.name for entry in lineage.ancestors("best")] == ["cells-3", "cells-2"]
    assert lineage.current == "best"
    loaded = lineage.load("cells-2")
    assert (loaded.name, loaded.parent, loaded.card.scores) == ("cells-2", "cells", {"iou": 0.83})


def test_any_ancestor_is_restored_out_of_the_trash_too(lineage: Lineage) -> None:
    lineage.delete("cells-2")
    assert [entry.name for entry in lineage.entries()] == ["cells-3", "best"]
    assert [entry.name for entry in lineage.ancestors("best")] == ["cells-3", "cells-2"]
    with pytest.raises(ModelError, match="no model 'cells-2'"):
        lineage.load("cells-2")
    assert lineage.restore("cells-2").name == "cells-2"
    assert lineage.current == "cells-2"
    assert len(lineage.entries()) == 3


def test_deleting_is_undone_and_names_are_not_given_twice(lineage: Lineage) -> None:
    lineage.delete("best")
    assert lineage.current is None
    with pytest.raises(OutputExistsError, match="there is, or was, a model 'best'"):
        lineage.rename("cells-3", "best")
    lineage.undo_delete("best")
    assert lineage.load("best").name == "best"
    with pytest.raises(ModelError, match="no model 'best' in the trash"):
        lineage.undo_delete("best")


def test_children_know_a_renamed_parent(lineage: Lineage) -> None:
    lineage.rename("cells-3", "good")
    assert [entry.name for entry in lineage.ancestors("best")] == ["good", "cells-2"]
    assert lineage.load("good").name == "good"
    with pytest.raises(ModelError, match="plain file name"):
        lineage.rename("good", "../good")


def test_models_put_there_by_hand_are_listed(lineage: Lineage, model: Model) -> None:
    save_model(model, lineage.folder / "stranger")
    assert lineage.entries()[-1].name == "stranger"
    lineage.delete("stranger")
    lineage.restore("stranger")
    assert lineage.current == "stranger"


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "damaged"), ('{"format_version": 2}', "newer|reads up to 1"), ('{"format_version": 1}', "damaged")],
)
def test_a_damaged_or_newer_lineage_is_refused(lineage: Lineage, model: Model, content: str, message: str) -> None:
    (lineage.folder / "lineage.json").write_text(content)
    with pytest.raises(WorkspaceError, match=message):
        lineage.adopt(model, name="other")
    assert not (lineage.folder / "other").exists()
