"""Folders that can be used, and what is said about those that can't."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_seamless.errors import DatasetError
from napari_seamless.training.dataset import open_dataset, open_datasets
from napari_seamless.training.split import split_by_group
from tests.training.conftest import discs, example


def test_reads_images_and_labels_by_name(folder):
    examples = open_dataset(folder)
    assert [one.name for one in examples] == [f"set/field{number}" for number in range(4)]
    image, labels = discs(2)
    np.testing.assert_array_equal(np.asarray(examples[2].image.data), image)
    np.testing.assert_array_equal(examples[2].labels, labels)


def test_groups_come_from_the_index(folder):
    (folder / "index.csv").write_text("id,mosaic_group\nfield0,7\nfield1,7\nfield2.tif,8\n")
    groups = [one.group for one in open_dataset(folder)]
    assert groups == ["set/mosaic_group 7", "set/mosaic_group 7", "set/mosaic_group 8", "set/field3"]


def test_index_without_file_names_is_refused(folder):
    (folder / "index.csv").write_text("name,group\nfield0,7\n")
    with pytest.raises(DatasetError, match="no column 'id'"):
        open_dataset(folder)


def test_index_without_groups_is_ignored(folder):
    (folder / "index.csv").write_text("id,width\nfield0,7\n")
    assert open_dataset(folder)[0].group == "set/field0"


def test_colours_are_samples(folder):
    tifffile.imwrite(folder / "images" / "field0.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    assert open_dataset(folder)[0].image.axes == "YXS"


def spoil_folder(folder):
    (folder / "labels").rename(folder / "masks")


def spoil_empty(folder):
    for path in (folder / "images").iterdir():
        path.unlink()


def spoil_partner(folder):
    (folder / "labels" / "field1.tif").unlink()


def spoil_image_partner(folder):
    (folder / "images" / "field1.tif").unlink()


def spoil_twice(folder):
    tifffile.imwrite(folder / "images" / "field1.tiff", discs(1)[0])


def spoil_shape(folder):
    tifffile.imwrite(folder / "labels" / "field1.tif", np.ones((64, 63), np.uint16))


def spoil_float(folder):
    tifffile.imwrite(folder / "labels" / "field1.tif", np.ones((64, 64), np.float32))


def spoil_negative(folder):
    tifffile.imwrite(folder / "labels" / "field1.tif", np.full((64, 64), -1, np.int16))


def spoil_colour_labels(folder):
    tifffile.imwrite(folder / "labels" / "field1.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")


def spoil_time(folder):
    tifffile.imwrite(
        folder / "images" / "field1.tif", np.zeros((5, 64, 64), np.uint8), metadata={"axes": "TYX"}, imagej=True
    )


def spoil_all_empty(folder):
    for path in (folder / "labels").iterdir():
        tifffile.imwrite(path, np.zeros((64, 64), np.uint16))


def spoil_dimensions(folder):
    image, labels = discs(1, (16, 32, 32))
    tifffile.imwrite(folder / "images" / "field1.tif", image)
    tifffile.imwrite(folder / "labels" / "field1.tif", labels)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_folder, "labels is not a folder: a data set is a folder with images/ and labels/"),
        (spoil_empty, "images holds no files"),
        (spoil_partner, "no partner in labels/, the first is field1.tif"),
        (spoil_image_partner, "no partner in images/"),
        (spoil_twice, "have the same name: keep one"),
        (spoil_shape, r"set/field1 are \(64, 63\) and the image is \(64, 64\) along YX"),
        (spoil_float, "whole numbers, but those of set/field1 are float32"),
        (spoil_negative, "go down to -1"),
        (spoil_colour_labels, "without channels or colours"),
        (spoil_time, "series of 5 time points"),
        (spoil_all_empty, "all labels are empty"),
        (spoil_dimensions, "all images must be 2D or all 3D"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(folder, spoil, message):
    spoil(folder)
    with pytest.raises(DatasetError, match=message):
        open_datasets([folder])


def test_no_folder_is_refused():
    with pytest.raises(DatasetError, match="at least one data set"):
        open_datasets([])


def test_groups_stay_together():
    examples = [example(number, group=f"group {number % 5}") for number in range(20)]
    training, validation = split_by_group(examples, 0.2, seed=3)
    assert {one.group for one in training}.isdisjoint({one.group for one in validation})
    assert len(training) + len(validation) == 20
    assert len({one.group for one in validation}) == 1


def test_every_data_set_is_in_the_validation():
    examples = [example(number, dataset=f"set {number % 2}") for number in range(10)]
    _, validation = split_by_group(examples, 0.15, seed=0)
    assert {one.dataset for one in validation} == {"set 0", "set 1"}


def test_the_seed_chooses_the_split():
    examples = [example(number) for number in range(12)]
    names = [tuple(one.name for one in split_by_group(examples, 0.3, seed)[1]) for seed in (1, 1, 2)]
    assert names[0] == names[1]
    assert names[0] != names[2]


def test_a_single_image_is_divided_with_a_gap():
    training, validation = split_by_group([example(0, (100, 60))], 0.2, seed=0)
    assert training[0].labels.shape == (70, 60)
    assert validation[0].labels.shape == (20, 60)
    np.testing.assert_array_equal(np.asarray(validation[0].image.data), discs(0, (100, 60))[0][80:])


def test_a_single_tiny_image_is_refused():
    with pytest.raises(DatasetError, match="add a second image"):
        split_by_group([example(0, (30, 30))], 0.2, seed=0)
