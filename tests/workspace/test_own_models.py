"""The user's library: what goes in, changes its name, is thrown away and comes back; and the default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_seamless.errors import FileWriteError, ModelError, OutputExistsError, WorkspaceError
from napari_seamless.models.library import (
    BUNDLED_MODELS,
    FIRST_DEFAULT,
    LIBRARY_VARIABLE,
    bundled_names,
    default_model,
    find_model,
    list_models,
    load_model,
    set_default_model,
)
from napari_seamless.models.model import create_model
from napari_seamless.models.package import save_model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.workspace import lineage_file
from napari_seamless.workspace.own_models import (
    delete_model,
    import_model,
    own_models,
    rename_model,
    undelete_model,
)

MODEL = create_model(NetworkConfig(features=(2, 2)), name="cells")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LIBRARY_VARIABLE, str(tmp_path / "library"))
    return tmp_path / "library"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return save_model(MODEL, tmp_path / "downloads" / "from a friend.zip", weight_type="float16")


def own_names() -> list[str]:
    return [model.name for model in list_models() if not model.bundled]


def state_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_imported_model_is_found_by_its_own_name(library: Path, package: Path) -> None:
    entry = import_model(package)
    assert (entry.name, own_names()) == ("cells", ["cells"])
    assert find_model("cells") == library / "cells"
    assert load_model("cells").name == "cells"
    assert own_models().current is None
    assert package.exists()


def test_another_name_is_given_on_request(library: Path, package: Path) -> None:
    import_model(package, "friend")
    assert load_model("friend").name == "friend"
    import_model(library / "friend", "again")
    assert own_names() == ["again", "friend"]


@pytest.mark.parametrize("name", ["cells", "nuclei-2d"])
def test_names_that_are_taken_are_refused(library: Path, package: Path, name: str) -> None:
    import_model(package)
    before = state_of(library)
    with pytest.raises(OutputExistsError, match=f"a model '{name}'.* choose another name"):
        import_model(package, name)
    delete_model("cells")
    with pytest.raises(OutputExistsError, match="there is, or was"):
        import_model(package)
    undelete_model("cells")
    assert state_of(library) == before | {"lineage.json": (library / "lineage.json").read_bytes()}


@pytest.mark.parametrize(
    "name", ["../out", "a/b", ".hidden", "a\\b", "C:x", "model.zip", " ", "a ", "tab\tbed", "dot."]
)
def test_names_that_are_no_file_names_are_refused(library: Path, package: Path, name: str) -> None:
    with pytest.raises(ModelError, match="a model's name is a plain file name"):
        import_model(package, name)
    assert not library.exists()


def test_a_package_that_calls_itself_a_path_stays_inside(library: Path, tmp_path: Path) -> None:
    folder = save_model(MODEL, tmp_path / "evil")
    values = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**values, "name": "../../outside"}))
    with pytest.raises(ModelError, match=r"not '../../outside': choose another name"):
        import_model(folder)
    import_model(folder, "tamed")
    assert own_names() == ["tamed"]


def test_renaming_keeps_the_weights_as_they_are_and_the_default(library: Path, package: Path) -> None:
    import_model(package)
    weights = (library / "cells" / "weights.safetensors").read_bytes()
    set_default_model("cells")
    rename_model("cells", "tissue")
    assert own_names() == ["tissue"]
    assert (library / "tissue" / "weights.safetensors").read_bytes() == weights
    assert load_model("tissue").name == "tissue"
    assert default_model() == "tissue"
    assert sorted(path.name for path in library.iterdir()) == ["default.json", "lineage.json", "tissue"]


def test_deleting_is_undone(library: Path, package: Path) -> None:
    import_model(package)
    before = state_of(library / "cells")
    delete_model("cells")
    assert own_names() == []
    with pytest.raises(ModelError, match="no model called 'cells'"):
        load_model("cells")
    undelete_model("cells")
    assert own_names() == ["cells"]
    assert state_of(library / "cells") == before
    with pytest.raises(ModelError, match=r"no model 'cells' in the trash of .*there are \[\]"):
        undelete_model("cells")


def test_zips_and_damaged_models_that_lie_there_can_be_handled(library: Path, package: Path) -> None:
    library.mkdir()
    package.rename(library / "zipped.zip")
    (save_model(MODEL, library / "broken") / "model.json").write_text("{")
    assert sorted(entry.name for entry in own_models().entries()) == ["broken", "zipped"]
    delete_model("broken")
    rename_model("zipped", "plain")
    assert own_names() == ["plain"]
    save_model(MODEL, library / "second.zip")
    delete_model("second")
    undelete_model("second")
    assert own_names() == ["plain", "second"]
    undelete_model("broken")
    with pytest.raises(ModelError, match="not valid JSON"):
        rename_model("broken", "whole")
    assert own_names() == ["broken", "plain", "second"]


@pytest.mark.parametrize("change", [lambda: rename_model("nuclei-2d", "x"), lambda: delete_model("nuclei-2d")])
def test_bundled_models_are_left_alone(library: Path, change) -> None:
    before = state_of(BUNDLED_MODELS)
    with pytest.raises(ModelError, match="'nuclei-2d' comes with the program and cannot be"):
        change()
    assert state_of(BUNDLED_MODELS) == before
    assert "nuclei-2d" in bundled_names()


def test_the_default_is_chosen_and_remembered(library: Path, package: Path) -> None:
    assert default_model() == FIRST_DEFAULT
    import_model(package)
    set_default_model("cells")
    assert default_model() == "cells"
    assert [model.name for model in list_models() if model.is_default] == ["cells"]
    with pytest.raises(ModelError, match="'cells' is the default and stays as long as it is"):
        delete_model("cells")
    set_default_model("nuclei-2d")
    delete_model("cells")
    with pytest.raises(ModelError, match=r"no model called 'cells': the default is one of nuclei-2d"):
        set_default_model("cells")
    assert default_model() == "nuclei-2d"


def test_a_default_that_cannot_be_used_is_refused(library: Path) -> None:
    (save_model(MODEL, library / "broken") / "model.json").write_text("{")
    with pytest.raises(ModelError, match="'broken' cannot be used"):
        set_default_model("broken")
    assert not (library / "default.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"default": 3}', '{"format_version": 2, "default": "x"}'])
def test_a_damaged_default_is_said(library: Path, content: str) -> None:
    library.mkdir()
    (library / "default.json").write_text(content)
    with pytest.raises(ModelError, match=r"default.json does not say which model is the default.*models default MODEL"):
        default_model()
    assert not any(model.is_default for model in list_models())
    set_default_model("nuclei-2d")
    assert default_model() == "nuclei-2d"


def full(*arguments: object, **options: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda package: import_model(package, "other"), id="import"),
        pytest.param(lambda package: rename_model("cells", "other"), id="rename"),
        pytest.param(lambda package: delete_model("cells"), id="delete"),
        pytest.param(lambda package: undelete_model("gone"), id="undelete"),
        pytest.param(lambda package: own_models().adopt(MODEL, name="other"), id="adopt"),
    ],
)
@pytest.mark.parametrize("what", ["the lineage", "renaming"])
def test_a_full_disk_leaves_the_library_as_it_was(
    library: Path, package: Path, monkeypatch: pytest.MonkeyPatch, change, what: str
) -> None:
    import_model(package)
    import_model(package, "gone")
    delete_model("gone")
    before = state_of(library)
    if what == "the lineage":
        monkeypatch.setattr(lineage_file, "replace_file", full)
    else:
        monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(FileWriteError, match="No space left on device"):
        change(package)
    monkeypatch.undo()
    monkeypatch.setenv(LIBRARY_VARIABLE, str(library))
    assert state_of(library) == before
    assert own_names() == ["cells"]
    undelete_model("gone")
    assert own_names() == ["cells", "gone"]


def test_a_choice_that_cannot_be_kept_is_said(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FileWriteError, match=r"default\.json cannot be written"):
        set_default_model("nuclei-2d")


def test_a_damaged_lineage_stops_changes_but_not_the_use_of_models(library: Path, package: Path) -> None:
    import_model(package)
    (library / "lineage.json").write_text("{")
    with pytest.raises(WorkspaceError, match="damaged"):
        import_model(package, "other")
    assert not (library / "other").exists()
    assert load_model("cells").name == "cells"
