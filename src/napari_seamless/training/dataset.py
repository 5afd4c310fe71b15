"""A folder of annotated images: ``images/`` and ``labels/`` with the same file names, checked before any training.

A third folder, ``verified/``, may hold masks of the same names: only pixels that are not 0 there are learned from. An
optional ``index.csv`` says which images show the same field (column ``mosaic_group`` or ``group``; column ``id`` holds
the file name without its ending). Images of one group are never split between training and validation.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import DatasetError
from napari_seamless.images.image import Image
from napari_seamless.images.read import open_image
from napari_seamless.training.examples import Example

_GROUP_COLUMNS = ("mosaic_group", "group")


def open_datasets(folders: Sequence[str | Path], ignore: int | None = None) -> list[Example]:
    """Read and check several folders; see `open_dataset`.

    Raises
    ------
    DatasetError
        If one of them cannot be used.
    """
    if not folders:
        raise DatasetError("training needs at least one data set: give a folder with images/ and labels/")
    return [example for folder in folders for example in open_dataset(folder, ignore)]


def check_together(examples: Sequence[Example], spatial_dims: int | None) -> None:
    """Check that one network can learn from all examples.

    Parameters
    ----------
    examples : sequence of Example
    spatial_dims : int or None
        Of the network: one with two takes each plane of a volume as an image, and so learns from images and volumes
        together. None when it is still to follow from the examples.

    Raises
    ------
    DatasetError
        If there are none, or they mix images and volumes and the network is not 2D.
    """
    if not examples:
        raise DatasetError("training needs at least one annotated image")
    by_dims = {example.spatial_dims: example.name for example in examples}
    if len(by_dims) > 1 and spatial_dims != 2:
        raise DatasetError(
            f"all images must be 2D or all 3D, but {by_dims[2]} is 2D and {by_dims[3]} is 3D: train one model for "
            f"each, or a 2D network (spatial_dims=2), which takes every plane of a volume as an image"
        )


def open_dataset(folder: str | Path, ignore: int | None = None) -> list[Example]:
    """Read and check a folder of annotated images.

    Parameters
    ----------
    folder : path
        Holds ``images/`` and ``labels/``, whose files have the same names (endings may differ), and optionally
        ``verified/`` and ``index.csv``.
    ignore : int, optional
        Label value that means "not annotated".

    Returns
    -------
    list of Example
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
    verified = _files_by_name(folder / "verified") if (folder / "verified").exists() else {}
    _check_masks(folder, verified, images)
    groups = _read_groups(folder / "index.csv")
    dataset = folder.parent.name if folder.name in ("train", "test") else folder.name
    return [
        open_pair(
            images[name],
            labels[name],
            verified.get(name),
            name=f"{dataset}/{name}",
            group=f"{dataset}/{groups.get(name, name)}",
            dataset=dataset,
            ignore=ignore,
        )
        for name in sorted(images)
    ]


def open_pair(
    image: str | Path,
    labels: str | Path,
    verified: str | Path | None = None,
    *,
    name: str = "",
    group: str = "",
    dataset: str = "",
    ignore: int | None = None,
) -> Example:
    """Read one image with its labels and, if not all of it is annotated, a mask.

    Raises
    ------
    DatasetError, FileReadError
    """
    path = Path(image)
    return Example(
        _single_image(open_image(path)),
        _read_labels(Path(labels)),
        None if verified is None else _read_labels(Path(verified)) != 0,
        name=name or path.name,
        group=group,
        dataset=dataset,
        ignore=ignore,
    )


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


def _check_masks(folder: Path, masks: dict[str, Path], images: dict[str, Path]) -> None:
    strangers = sorted(set(masks) - set(images))
    if strangers:
        raise DatasetError(
            f"every mask needs an image of the same name, but {masks[strangers[0]].name} in {folder / 'verified'} has "
            "none: add the image or move the mask away"
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


def _single_image(image: Image) -> Image:
    """Leave out T and Z of length one, which microscopes write for single planes."""
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
    if labels.ndim not in (2, 3, 4) or any(image.sizes.get(axis, 1) > 1 for axis in "CS"):
        raise DatasetError(
            f"labels have the axes of their image without channels and colours, but {path} has the shape "
            f"{labels.shape} (axes {image.axes}): save one value for each pixel"
        )
    return labels
