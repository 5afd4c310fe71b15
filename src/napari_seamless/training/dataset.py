"""A folder of annotated images: ``images/`` and ``labels/`` with the same file names, checked before any training.

An optional ``index.csv`` says which images show the same field (column ``mosaic_group`` or ``group``; column ``id``
holds the file name without its ending). Images of one group are never split between training and validation.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import DatasetError
from napari_seamless.images.image import Image
from napari_seamless.images.read import open_image

_GROUP_COLUMNS = ("mosaic_group", "group")


@dataclass(frozen=True, eq=False)
class TrainingExample:
    """One annotated image.

    Attributes
    ----------
    name : str
        File name, with its data set in front.
    group : str
        Images of one group stay on one side of the validation split.
    image : Image
    labels : ndarray, integer, shape (*spatial)
        Object ids or class indices; 0 = background.
    dataset : str
        Name of the folder it comes from.

    Raises
    ------
    DatasetError
        If the labels are not whole numbers of at least 0 in the shape of the image.
    """

    name: str
    group: str
    image: Image
    labels: NDArray[np.integer[Any]]
    dataset: str = ""

    def __post_init__(self) -> None:
        labels, sizes = self.labels, self.image.sizes
        if labels.dtype.kind not in "ui":
            raise DatasetError(
                f"labels are whole numbers, but those of {self.name} are {labels.dtype}: save them as uint16 or uint32"
            )
        if labels.size and labels.min() < 0:
            raise DatasetError(
                f"labels are at least 0, but those of {self.name} go down to {labels.min()}: use 0 for background"
            )
        found = tuple(sizes[axis] for axis in self.image.spatial_axes)
        if labels.shape != found:
            raise DatasetError(
                f"labels must have the shape of their image, but those of {self.name} are {labels.shape} and the image "
                f"is {found} along {self.image.spatial_axes}: save both at the same size"
            )

    @property
    def spatial_dims(self) -> int:
        """2 or 3."""
        return self.labels.ndim


def open_datasets(folders: Sequence[str | Path]) -> list[TrainingExample]:
    """Read and check several folders; see `open_dataset`.

    Raises
    ------
    DatasetError
        If one of them cannot be used, or they mix 2D and 3D.
    """
    if not folders:
        raise DatasetError("training needs at least one data set: give a folder with images/ and labels/")
    examples = [example for folder in folders for example in open_dataset(folder)]
    check_together(examples)
    return examples


def check_together(examples: Sequence[TrainingExample]) -> None:
    """Check that one model can learn from all examples.

    Raises
    ------
    DatasetError
        If they mix 2D and 3D, or nothing is annotated.
    """
    by_dims = {example.spatial_dims: example.name for example in examples}
    if len(by_dims) > 1:
        raise DatasetError(
            f"all images must be 2D or all 3D, but {by_dims[2]} is 2D and {by_dims[3]} is 3D: train one model for each"
        )
    if not any(example.labels.any() for example in examples):
        raise DatasetError(
            "all labels are empty (0 everywhere): there is nothing to learn, annotate some objects first"
        )


def open_dataset(folder: str | Path) -> list[TrainingExample]:
    """Read and check a folder of annotated images.

    Parameters
    ----------
    folder : path
        Holds ``images/`` and ``labels/``, whose files have the same names (endings may differ), and optionally
        ``index.csv``.

    Returns
    -------
    list of TrainingExample
        In the order of the file names.

    Raises
    ------
    DatasetError
        If folders, files or partners are missing, or an image and its labels do not fit each other.
    FileReadError
        If a file cannot be read.
    """
    folder = Path(folder)
    images, labels = _files_by_name(folder / "images"), _files_by_name(folder / "labels")
    if not images:
        raise DatasetError(f"{folder / 'images'} holds no files: put the images there, and their labels into labels/")
    _check_partners(folder, images, labels)
    groups = _read_groups(folder / "index.csv")
    dataset = folder.parent.name if folder.name in ("train", "test") else folder.name
    return [_read_example(dataset, name, images[name], labels[name], groups.get(name, name)) for name in sorted(images)]


def _files_by_name(folder: Path) -> dict[str, Path]:
    """Map file names without their endings to paths."""
    if not folder.is_dir():
        raise DatasetError(
            f"{folder} is not a folder: a data set is a folder with images/ and labels/, which hold files of the same "
            "names"
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        name = path.name.split(".")[0]
        if name in found:
            raise DatasetError(f"{found[name].name} and {path.name} in {folder} have the same name: keep one of them")
        found[name] = path
    return found


def _check_partners(folder: Path, images: dict[str, Path], labels: dict[str, Path]) -> None:
    for present, absent, what in ((images, labels, "labels"), (labels, images, "images")):
        missing = sorted(set(present) - set(absent))
        if missing:
            raise DatasetError(
                f"every image needs labels of the same name, but {len(missing)} files of {folder} have no partner in "
                f"{what}/, the first is {present[missing[0]].name}: add the partner or move the file away"
            )


def _read_groups(index: Path) -> dict[str, str]:
    if not index.is_file():
        return {}
    with index.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or ()
        column = next((name for name in _GROUP_COLUMNS if name in columns), None)
        if column is None:
            return {}
        if "id" not in columns:
            raise DatasetError(f"{index} has a column {column!r} but no column 'id' with the file names: add it")
        return {Path(row["id"]).name.split(".")[0]: f"{column} {row[column]}" for row in rows}


def _read_example(dataset: str, name: str, image_path: Path, labels_path: Path, group: str) -> TrainingExample:
    image = _single_image(open_image(image_path), image_path)
    labels = _read_labels(labels_path)
    return TrainingExample(
        name=f"{dataset}/{name}", group=f"{dataset}/{group}", image=image, labels=labels, dataset=dataset
    )


def _single_image(image: Image, path: Path) -> Image:
    """Leave out T and Z of length one; refuse a series."""
    if image.sizes.get("T", 1) > 1:
        raise DatasetError(
            f"training takes single images, but {path} is a series of {image.sizes['T']} time points (axes "
            f"{image.axes}): save each time point as a file of its own"
        )
    single = [axis for axis in image.axes if axis in "TZ" and image.sizes[axis] == 1]
    if not single:
        return image
    axes = "".join(axis for axis in image.axes if axis not in single)
    data = image.data.squeeze(tuple(image.axes.index(axis) for axis in single))
    voxel_size_um = image.voxel_size_um
    if voxel_size_um is not None and "Z" in single:
        voxel_size_um = voxel_size_um[1:]
    return Image.from_array(data, axes, voxel_size_um, image.channel_names)


def _read_labels(path: Path) -> NDArray[np.integer[Any]]:
    image = open_image(path)
    labels = np.asarray(image.data)
    singles = tuple(index for index, axis in enumerate(image.axes) if axis not in "YX" and labels.shape[index] == 1)
    labels = labels.squeeze(singles)
    if labels.dtype == np.bool_:
        labels = labels.astype(np.uint8)
    if labels.ndim not in (2, 3) or any(image.sizes.get(axis, 1) > 1 for axis in "TCS"):
        raise DatasetError(
            f"labels have the axes YX or ZYX, but {path} has the shape {labels.shape} (axes {image.axes}): "
            "save one value for each pixel, without channels or colours"
        )
    return labels
