"""A workspace as the viewer sees it: edits, verified regions, other images, other versions, two openers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_seamless.errors import AxesError, FileWriteError, OutputExistsError, PixelTypeError, WorkspaceError
from napari_seamless.images.image import Image
from napari_seamless.images.read import open_image
from napari_seamless.images.write import write_array
from napari_seamless.workspace.layout import find_workspace, read_info
from napari_seamless.workspace.opening import open_workspace
from napari_seamless.workspace.session import Workspace

from .conftest import Opener, image_of


def test_an_edit_is_in_the_labels_verified_and_on_disk(opener: Opener, tmp_path: Path) -> None:
    with opener() as workspace:
        assert workspace.record_edit({"Z": (1, 2), "Y": (5, 12), "X": (6, 10)}, 7) == 28
        assert workspace.next_id == 8
        (region,) = workspace.regions
        assert (region.kind, region.box) == ("edit", ((1, 2), (5, 12), (6, 10)))
    expected = np.zeros((3, 20, 28), np.uint32)
    expected[1, 5:12, 6:10] = 7
    folder = tmp_path / "cells.seamless"
    np.testing.assert_array_equal(zarr.open_array(folder / "labels", mode="r")[:], expected)
    np.testing.assert_array_equal(zarr.open_array(folder / "verified", mode="r")[:], expected > 0)
    again = opener()
    np.testing.assert_array_equal(again.labels[:], expected)
    assert again.regions == (region,)
    assert again.next_id == 8
    assert again.restored == 0


def test_only_pixels_that_change_become_verified(workspace: Workspace) -> None:
    workspace.write_prediction(np.full((3, 20, 28), 2, np.uint8), instances=False)
    assert workspace.record_edit((slice(0, 1), slice(0, 2), slice(0, 4)), np.array([[2, 3, 2, 3]])) == 4
    np.testing.assert_array_equal(np.nonzero(workspace.verified[:])[2], [1, 3, 1, 3])


def test_single_pixels_can_be_recorded_and_the_last_of_repeated_ones_counts(workspace: Workspace) -> None:
    where = (np.array([0, 2, 0]), np.array([19, 0, 19]), np.array([27, 9, 27]))
    assert workspace.record_edit(where, np.array([4, 5, 6])) == 2
    assert workspace.labels[0, 19, 27] == 6
    assert workspace.labels[2, 0, 9] == 5


@pytest.mark.parametrize("bad", [-1, 2**32, 0.5, "cell"])
def test_labels_that_are_no_ids_are_refused(workspace: Workspace, bad: Any) -> None:
    with pytest.raises(PixelTypeError, match="whole numbers from 0 to 4294967295"):
        workspace.record_edit(None, np.array(bad))
    assert not workspace.labels[:].any()


def test_undo_takes_the_verification_back_and_redo_brings_it_again(workspace: Workspace) -> None:
    labels = workspace.labels
    labels[0, 3:6, 3:6] = 1
    labels[0, 4:9, 4:9] = 2
    both = workspace.verified[:]
    labels[0, 4:6, 4:6] = 1  # another edit, not the undo of the second
    assert workspace.verified[0, 5, 5] == 1
    labels[0, 4:6, 4:6] = 2
    np.testing.assert_array_equal(workspace.verified[:], both)
    block = labels[0, 4:9, 4:9]
    block[:] = 0
    block[:2, :2] = 1
    labels[0, 4:9, 4:9] = block
    assert np.count_nonzero(workspace.verified[:]) == 9
    assert workspace.regions[0].box == ((0, 1), (3, 6), (3, 6))
    labels[0, 3:6, 3:6] = 0
    assert not workspace.verified[:].any()
    assert workspace.regions == ()
    labels[0, 3:6, 3:6] = 1
    labels[0, 4:9, 4:9] = 2
    np.testing.assert_array_equal(workspace.verified[:], both)


def test_undo_of_a_stroke_in_a_slice_that_was_marked_since_leaves_the_mark(workspace: Workspace) -> None:
    workspace.labels[0, 3:6, 3:6] = 1
    workspace.verify_slice({"Z": 0})
    workspace.labels[0, 3:6, 3:6] = 0
    assert (workspace.verified[0] != 0).all()


def test_a_marked_slice_takes_in_its_strokes_and_leaves_them_verified_when_unmarked(workspace: Workspace) -> None:
    workspace.labels[1, 3:6, 3:6] = 1
    region = workspace.verify_slice({"Z": 1})
    assert workspace.regions == (region,)
    assert (region.kind, region.box) == ("slice", ((1, 2), (0, 20), (0, 28)))
    assert (workspace.verified[1] != 0).all()
    assert not workspace.verified[[0, 2]].any()
    workspace.unverify_region(region.id)
    assert np.count_nonzero(workspace.verified[:]) == 9
    (strokes,) = workspace.regions
    assert (strokes.kind, strokes.box) == ("edit", ((1, 2), (3, 6), (3, 6)))
    workspace.unverify_region(strokes.id)
    assert not workspace.verified[:].any()
    assert workspace.regions == ()


def test_unmarking_one_of_two_overlapping_boxes_leaves_the_other_whole(workspace: Workspace) -> None:
    first = workspace.verify_region({"Z": (0, 1), "Y": (0, 10), "X": (0, 10)})
    second = workspace.verify_region({"Z": (0, 1), "Y": (5, 15), "X": (5, 15)})
    workspace.unverify_region(first.id)
    expected = np.zeros((3, 20, 28), bool)
    expected[0, 5:15, 5:15] = True
    np.testing.assert_array_equal(workspace.verified[:] != 0, expected)
    assert workspace.regions_at((0, 7, 7)) == (workspace.regions[0],)
    assert workspace.regions[0].id == second.id


def test_a_mask_marks_a_part_of_its_box(workspace: Workspace) -> None:
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 1, 2] = True
    workspace.verify_region(((2, 3), (6, 10), (6, 10)), mask=mask)
    np.testing.assert_array_equal(np.argwhere(workspace.verified[:]), [[2, 7, 8]])
    with pytest.raises(WorkspaceError, match="a mask has the shape of its box"):
        workspace.verify_region({"Z": (0, 1)}, mask=mask)


@pytest.mark.parametrize("region", [{"Q": (0, 1)}, {"Z": (2, 2)}, {"X": (0, 29)}, {"Y": (-1, 3)}, ((0, 1), (0, 1))])
def test_regions_outside_are_refused(workspace: Workspace, region: Any) -> None:
    with pytest.raises(AxesError, match="region"):
        workspace.verify_region(region)


def test_a_foreign_array_is_compared_and_taken_over_as_one_step(workspace: Workspace) -> None:
    workspace.labels[0, 2, 2] = 5
    array = workspace.labels[:].astype(np.int64)
    array[2, 17:19, 20:22] = 9
    assert workspace.find_changes(array) == [((2, 3), (16, 20), (16, 28))]
    assert workspace.adopt_array(array) == 4
    assert workspace.find_changes(array) == []
    assert np.count_nonzero(workspace.verified[2]) == 4
    assert workspace.undo_bulk().name == "Labels replaced"
    assert not workspace.labels[2].any()
    assert workspace.labels[0, 2, 2] == 5
    assert workspace.adopt_array(workspace.labels[:]) == 0


def test_examples_keep_validation_out_of_training(opener: Opener) -> None:
    image = Image.from_array(np.arange(2 * 3 * 20 * 28, dtype=np.uint16).reshape(2, 3, 20, 28), "CZYX")
    workspace = opener(image)
    workspace.labels[0, 2:6, 2:6] = 1
    workspace.verify_region({"Z": (0, 1), "Y": (4, 10), "X": (4, 10)})
    strokes, box = workspace.examples()
    assert (strokes.role, box.role) == ("train", "validation")
    assert strokes.axes == "ZYX"
    assert strokes.around(3) == ((0, 1), (0, 9), (0, 9))
    assert np.count_nonzero(strokes.read_verified(3)) == 16 - 4
    assert np.count_nonzero(box.read_verified(2)) == 36
    np.testing.assert_array_equal(box.read_labels()[0, :3, :3], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(box.read_image(1), np.asarray(image.data)[:, 0:1, 3:11, 3:11])


def test_image_axes_without_channels_are_the_labels_axes(opener: Opener) -> None:
    workspace = opener(image_of((2, 3, 12, 10, 3), "TCYXS"))
    assert (workspace.axes, workspace.shape) == ("TYX", (2, 12, 10))
    layer = workspace.layer_labels((1,))
    assert layer.shape == (2, 1, 12, 10)
    layer[1, 0, 2:4, 3] = 6
    layer[0, :, 5, 5] = 7
    np.testing.assert_array_equal(np.argwhere(workspace.labels[:]), [[0, 5, 5], [1, 2, 3], [1, 3, 3]])


def test_the_workspace_of_a_file_is_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    write_array(path, np.zeros((9, 11), np.uint8), "YX")
    image = open_image(path)
    assert find_workspace(image) is None
    with open_workspace(image) as workspace:
        workspace.labels[3, 4] = 1
        assert workspace.folder == tmp_path / "cells.tif.seamless"
    assert find_workspace(image) == workspace.folder
    assert read_info(workspace.folder).find_image(workspace.folder).samefile(path)
    shutil.rmtree(workspace.folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["cells.tif"]


def test_an_array_needs_a_folder() -> None:
    with pytest.raises(WorkspaceError, match="choose a folder"):
        open_workspace(image_of())


def test_a_folder_with_other_things_is_left_alone(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="is no workspace"):
        opener(folder=tmp_path)
    with pytest.raises(FileWriteError, match="there is no folder"):
        opener(folder=tmp_path / "nowhere" / "w")
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def newer_manifest(folder: Path) -> None:
    values = json.loads((folder / "workspace.json").read_text())
    (folder / "workspace.json").write_text(json.dumps({**values, "format_version": 2}))


DAMAGES = {
    "newer version": (newer_manifest, "format version 2, this program reads up to 1: update"),
    "torn manifest": (lambda folder: (folder / "workspace.json").write_text('{"format'), "workspace.json is damaged"),
    "manifest lacks a key": (lambda folder: (folder / "workspace.json").write_text('{"format_version": 1}'), "damaged"),
    "torn state": (lambda folder: (folder / "state.json").write_text('{"seq'), "state.json is damaged"),
    "state lacks a key": (lambda folder: (folder / "state.json").write_text("{}"), "state.json is damaged"),
    "no labels": (lambda folder: shutil.rmtree(folder / "labels"), "labels is missing or damaged"),
    "other array": (lambda folder: shutil.copy(folder / "verified/zarr.json", folder / "labels"), "another program"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_or_newer_is_refused_and_left_alone(opener: Opener, tmp_path: Path, damage: str) -> None:
    with opener() as workspace:
        workspace.labels[0, 0, 0] = 1
    break_it, message = DAMAGES[damage]
    break_it(workspace.folder)
    before = contents(workspace.folder)
    with pytest.raises(WorkspaceError, match=message):
        opener()
    assert contents(workspace.folder) == before


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (image_of((3, 20, 27)), "a"),
        (image_of((3, 20, 28), "TYX"), "a"),
        (image_of(), "b"),
        (Image.from_array(np.zeros((3, 20, 28), np.uint16), "ZYX"), "a"),
    ],
    ids=["shape", "axes", "name", "pixel type"],
)
def test_the_workspace_of_another_image_is_refused(opener: Opener, image: Image, name: str) -> None:
    opener(name="a").close()
    with pytest.raises(WorkspaceError, match="the workspace of another image"):
        opener(image, name=name)


def test_a_damaged_chunk_is_named(opener: Opener) -> None:
    with opener() as workspace:
        workspace.labels[0, 0, 0] = 1
    (workspace.folder / "labels/c/0/0/0").write_bytes(b"nonsense")
    with pytest.raises(WorkspaceError, match="is damaged"):
        opener().labels[0]


def test_the_second_opener_is_told_and_reads_only(opener: Opener) -> None:
    first = opener()
    first.labels[0, 1, 1] = 4
    first.flush()
    second = opener()
    assert second.read_only
    assert "is open in process" in second.read_only_reason
    assert second.labels[0, 1, 1] == 4
    before = contents(first.folder)
    for change in (
        lambda: second.record_edit(None, 1),
        lambda: second.labels.__setitem__((0, 0, 0), 9),
        lambda: second.verify_slice({"Z": 0}),
        lambda: second.write_prediction(np.ones((3, 20, 28), np.uint8)),
        second.clear_predictions,
    ):
        with pytest.raises(WorkspaceError, match="open read-only here"):
            change()
    second.close()
    assert contents(first.folder) == before
    first.close()
    third = opener()
    assert not third.read_only
    third.labels[0, 1, 1] = 5


def test_a_read_only_opener_sees_what_only_the_journal_holds(opener: Opener) -> None:
    first = opener()
    first.labels[0, 1, 1] = 4
    first._storage.flush(arrays=False)
    second = opener()
    assert second.labels[0, 1, 1] == 4
    assert second.restored == 1
    second.close()
    assert not (first.folder / "state.json").exists()


def test_roles_can_be_chosen_and_are_kept(opener: Opener) -> None:
    workspace = opener()
    ids = [workspace.verify_slice({"Z": z}).id for z in range(3)]
    assert [region.role for region in workspace.regions] == ["train", "validation", "train"]
    workspace.set_role(ids[0], "validation")
    workspace.set_role(ids[1], "train")
    workspace.close()
    regions = opener().regions
    assert [(region.role, region.automatic) for region in regions] == [
        ("validation", False),
        ("train", False),
        ("train", True),
    ]
    with pytest.raises(WorkspaceError, match="no verified region 77"):
        opener().set_role(77, None)
