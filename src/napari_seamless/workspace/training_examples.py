"""A workspace's verified regions as training sees them, read without opening the workspace for changes."""

from __future__ import annotations

from pathlib import Path

from napari_seamless.errors import WorkspaceError
from napari_seamless.images.image import Image
from napari_seamless.images.read import open_image
from napari_seamless.images.write import write_array
from napari_seamless.training.examples import PAINTED, Example
from napari_seamless.workspace.examples import CorrectedRegion, corrected_regions
from napari_seamless.workspace.layout import MANIFEST, WorkspaceInfo, check_belongs, info_of, read_info
from napari_seamless.workspace.regions import VerifiedRegion
from napari_seamless.workspace.state import read_state

IMAGE_COPY = "image.ome.zarr"
"""An image that has no file of its own is kept here, so that training can read it."""


def is_workspace(path: Path) -> bool:
    """Whether a path is a workspace's folder."""
    return (path / MANIFEST).is_file()


def workspace_examples(folder: str | Path) -> list[Example]:
    """Return the verified regions of a workspace as examples, with the roles of its table.

    The workspace may be open elsewhere: what is on the disk counts.

    Raises
    ------
    WorkspaceError
        If it is damaged, its image is not where it was, or nothing is verified.
    """
    folder = Path(folder)
    info = read_info(folder)
    regions = tuple(VerifiedRegion.from_dict(values) for values in read_state(folder)["regions"])
    if not regions:
        raise WorkspaceError(
            f"nothing in {folder} is verified yet: mark a slice or a box as right, or paint, before training on it"
        )
    image = _image_of(folder, info)
    has_validation = any(region.role == "validation" for region in regions)
    found = corrected_regions(image, folder, info.labels_axes, regions)
    # Without any place for validation the roles say nothing; training then looks for a place that it can spare.
    return [_example(region, info, keep_role=has_validation) for region in found]


def keep_image(image: Image, folder: Path) -> None:
    """Keep a copy of an image that has no file in its workspace, unless it is there already; slow for large images.

    Raises
    ------
    FileWriteError
        If it cannot be written.
    """
    if image.path is None and not (folder / IMAGE_COPY).exists():
        write_array(
            folder / IMAGE_COPY,
            image.data,
            image.axes,
            voxel_size_um=image.voxel_size_um,
            channel_names=image.channel_names,
        )


def _image_of(folder: Path, info: WorkspaceInfo) -> Image:
    path = folder / IMAGE_COPY if info.image_path is None else info.find_image(folder)
    if path is None or not path.exists():
        where = "" if info.image_path is None else f" at {folder / info.image_path}"
        raise WorkspaceError(
            f"the image of {folder} ({info.image_name or 'an array'}) is not there any more{where}: put it back, or "
            "open it in napari and correct it there"
        )
    image = open_image(path)
    if image.axes != info.axes and len(image.axes) == len(info.axes):
        image = open_image(path, axes=info.axes)
    check_belongs(info, info_of(image, folder, info.image_name), folder)
    return image


def _example(region: CorrectedRegion, info: WorkspaceInfo, *, keep_role: bool) -> Example:
    place = " ".join(
        f"{axis}{start}" if stop - start == 1 else f"{axis}{start}-{stop}"
        for axis, (start, stop) in zip(region.axes, region.box, strict=True)
    )
    return Example(
        region.image,
        region.labels,
        region.verified,
        name=f"{info.image_name}: {region.kind} {place}",
        group=info.image_name or "image",
        dataset="corrections",
        role=region.role if keep_role else None,
        painted_value=PAINTED,
        box=region.box,
        excluded=region.validation_boxes,
    )
