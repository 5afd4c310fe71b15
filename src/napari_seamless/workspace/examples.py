"""What was corrected, as plain data for training, read where it is looked at: the image may be bigger than memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.images.boxes import Box, as_slices, intersection, relative
from napari_seamless.images.image import Image
from napari_seamless.workspace.regions import Kind, Regions, Role


@dataclass(frozen=True, eq=False)
class CorrectedRegion:
    """One verified region of an image.

    Attributes
    ----------
    region_id : int
    kind : {"slice", "box", "edit"}
    role : {"train", "validation"}
    axes : str
        Axes of labels and box: those of the image without channels.
    box : tuple of (start, stop)
        Where the region is; one pair per axis.
    image : Image
        The whole image.
    labels, verified : array-like, uint32 and uint8, over the whole image's `axes`
        zarr arrays; not 0 in `verified` means verified.
    validation_boxes : tuple of boxes
        For a region of training: places that are for validation and therefore count as not verified here.
    """

    region_id: int
    kind: Kind
    role: Role
    axes: str
    box: Box
    image: Image
    labels: Any
    verified: Any
    validation_boxes: tuple[Box, ...] = ()

    def around(self, margin: int) -> Box:
        """Return the box grown by `margin` pixels along Y and X, and Z where the region has depth, within the image."""
        grown = []
        for axis, (start, stop), length in zip(self.axes, self.box, self.labels.shape, strict=True):
            side = margin if axis in "YX" or (axis == "Z" and stop - start > 1) else 0
            grown.append((max(0, start - side), min(int(length), stop + side)))
        return tuple(grown)

    def read_labels(self, margin: int = 0) -> NDArray[np.uint32]:
        """Return the labels of the region and `margin` pixels around it; predictions where not verified."""
        labels: NDArray[np.uint32] = np.asarray(self.labels[as_slices(self.around(margin))], np.uint32)
        return labels

    def read_verified(self, margin: int = 0) -> NDArray[np.bool_]:
        """Return which pixels of `read_labels` may be learned from, bool: verified, and not for validation elsewhere.

        Around the region nothing is: what is verified there belongs to other regions.
        """
        outer = self.around(margin)
        inner = as_slices(relative(self.box, outer))
        mask: NDArray[np.bool_] = np.zeros(tuple(stop - start for start, stop in outer), np.bool_)
        mask[inner] = np.asarray(self.verified[as_slices(self.box)]) != 0
        for box in self.validation_boxes:
            shared = intersection(box, outer)
            if shared is not None:
                mask[as_slices(relative(shared, outer))] = False
        return mask

    def read_image(self, margin: int = 0) -> NDArray[Any]:
        """Return the pixels of the region and around it, over the image's axes, all channels and samples."""
        spans = dict(zip(self.axes, as_slices(self.around(margin)), strict=True))
        pixels: NDArray[Any] = np.asarray(self.image.data[tuple(spans.get(a, slice(None)) for a in self.image.axes)])
        return pixels


def corrected_regions(image: Image, folder: Path, axes: str, regions: Regions) -> list[CorrectedRegion]:
    """Return the verified regions of a workspace's folder for training."""
    import zarr

    labels = zarr.open_array(folder / "labels", mode="r")
    verified = zarr.open_array(folder / "verified", mode="r")
    held_out = tuple(region.box for region in regions if region.role == "validation")
    return [
        CorrectedRegion(
            region_id=region.id,
            kind=region.kind,
            role=region.role,
            axes=axes,
            box=region.box,
            image=image,
            labels=labels,
            verified=verified,
            validation_boxes=held_out if region.role == "train" else (),
        )
        for region in regions
    ]
