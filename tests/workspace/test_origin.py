"""What made the labels is written down beside them."""

from __future__ import annotations

import json

import pytest

from napari_seamless.errors import WorkspaceError
from napari_seamless.workspace.origin import ORIGIN, Origin, read_origin, write_origin


def test_origin_is_read_as_it_was_written(tmp_path):
    origin = Origin("nuclei-2d", "/models/nuclei-2d", instances=False, channel=2)
    write_origin(tmp_path, origin)
    assert read_origin(tmp_path) == origin
    assert json.loads((tmp_path / ORIGIN).read_text())["model"] == "nuclei-2d"


def test_nothing_is_known_without_the_file(tmp_path):
    assert read_origin(tmp_path) == Origin(model="", model_path="", instances=True, channel=None)


@pytest.mark.parametrize("content", ["{", "[]", '{"colour": 1}'], ids=["cut short", "no object", "unknown key"])
def test_damaged_file_is_named(tmp_path, content):
    (tmp_path / ORIGIN).write_text(content)
    with pytest.raises(WorkspaceError, match=r"origin\.json is damaged .*remove it; only the model's name is lost"):
        read_origin(tmp_path)


def test_a_later_origin_replaces_the_first_and_leaves_no_other_file(tmp_path):
    write_origin(tmp_path, Origin("first"))
    write_origin(tmp_path, Origin("second"))
    assert read_origin(tmp_path).model == "second"
    assert [path.name for path in tmp_path.iterdir()] == [ORIGIN]
