"""Folders that can be used, and what is said about those that can't."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_seamless.errors import DatasetError
from napari_seamless.training.dataset import open_dataset, open_datasets
from tests.training.conftest import discs


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


def spoil_mask(folder):
    (folder / "verified").mkdir()
    tifffile.imwrite(folder / "verified" / "field9.tif", np.ones((64, 64), np.uint8))


def spoil_mask_shape(folder):
    (folder / "verified").mkdir()
    tifffile.imwrite(folder / "verified" / "field1.tif", np.ones((64, 63), np.uint8))


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
        (spoil_colour_labels, "one value for each pixel"),
        (spoil_time, r"set/field1 are \(64, 64\) and the image is \(5, 64, 64\) along TYX"),
        (spoil_mask, "field9.tif in .*verified has none"),
        (spoil_mask_shape, "mask of verified pixels must have the shape of the labels"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(folder, spoil, message):
    spoil(folder)
    with pytest.raises(DatasetError, match=message):
        open_datasets([folder])


def test_no_folder_is_refused():
    with pytest.raises(DatasetError, match="at least one data set"):
        open_datasets([])


def test_masks_say_what_is_annotated(folder):
    (folder / "verified").mkdir()
    mask = np.zeros((64, 64), np.uint8)
    mask[10:20, 30:40] = 1
    tifffile.imwrite(folder / "verified" / "field2.tif", mask)
    examples = open_dataset(folder)
    assert examples[1].verified is None
    np.testing.assert_array_equal(examples[2].read_verified(((0, 64), (0, 64))) > 0, mask > 0)


def test_a_value_can_mean_not_annotated(folder):
    _, labels = discs(0)
    (one, *_) = open_dataset(folder, ignore=1)
    np.testing.assert_array_equal(one.read_verified(((0, 64), (0, 64))) > 0, labels != 1)
