"""One annotated image: pixels, labels, and which of them a person vouches for."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import DatasetError
from napari_seamless.images.boxes import Box, as_slices, box_shape, intersection, relative, whole
from napari_seamless.images.image import Image
from napari_seamless.images.intensity import IntensityRange

Role = Literal["train", "validation"]

PAINTED, MARKED = 1, 2
"""What `Example.read_verified` gives: painted by a person, or in a place that was said to be right as a whole."""

_CHECKED_AT_ONCE = 2**26
"""Labels in memory are checked when an example is made; up to this many pixels, that takes no time."""


@dataclass(frozen=True, eq=False)
class Example:
    """An image to learn from. Nothing is copied; arrays that read lazily stay lazy.

    Attributes
    ----------
    image : Image
        Also given as an array, then with `axes`.
    labels : array-like, integer, over the image's axes without channels
        Object ids or class indices; 0 = background. numpy, zarr or dask.
    verified : array-like, bool or integer, of the labels' shape, optional
        What a person vouches for (not 0): everything else weighs zero in loss and validation. By default every pixel.
    axes : str, optional
        Of an image that is given as an array; without colours or channels by default the last of ``TZYX``.
    name : str
    group : str
        Examples of one group are never split between training and validation; by default the name.
    dataset : str
        Which collection it belongs to: each gives its part to the validation.
    role : {"train", "validation"}, optional
        Chosen by hand; by default the program chooses.
    painted_value : int, optional
        Value of `verified` where a person painted single objects: there the edges of what was painted are edges of
        objects, while an object that reaches out of a verified box just goes on. By default there is no such place.
    ignore : int, optional
        Label value that means "not annotated".
    box : tuple of (start, stop), optional
        Verified pixels are looked for only here; one pair per axis of the labels.
    excluded : tuple of boxes
        Places that count as not verified.
    rehearsed : bool
        Whether it is an earlier example, mixed in so that nothing is forgotten.
    intensity : IntensityRange, optional
        What becomes 0 and 1; by default measured on the whole image.

    Raises
    ------
    DatasetError
        If labels or mask are not what is said above.
    """

    image: Any
    labels: Any
    verified: Any = None
    axes: str | None = None
    _: KW_ONLY
    name: str = "image"
    group: str = ""
    dataset: str = ""
    role: Role | None = None
    painted_value: int | None = None
    ignore: int | None = None
    box: Box | None = None
    excluded: tuple[Box, ...] = ()
    rehearsed: bool = False
    intensity: IntensityRange | None = None

    def __post_init__(self) -> None:
        image = self.image
        if not isinstance(image, Image):
            pixels = image if hasattr(image, "shape") else np.asarray(image)
            image = Image.from_array(pixels, self.axes or "TZYX"[-len(pixels.shape) :])
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "axes", image.axes)
        object.__setattr__(self, "group", self.group or self.name)
        for field in ("labels", "verified"):
            value = getattr(self, field)
            if value is not None and not hasattr(value, "dtype"):
                object.__setattr__(self, field, np.asarray(value))
        self._check_labels()
        self._check_verified()

    @property
    def label_axes(self) -> str:
        """The image's axes without channels and colours."""
        return "".join(axis for axis in self.image.axes if axis not in "CS")

    @property
    def spatial_dims(self) -> int:
        """3 for an image with a Z axis, else 2."""
        return len(self.image.spatial_axes)

    @property
    def whole_box(self) -> Box:
        """Where verified pixels are looked for."""
        return self.box or whole(self.labels.shape)

    def read_labels(self, box: Box) -> NDArray[np.int64]:
        """Return the labels of a box.

        Raises
        ------
        DatasetError
            If one is negative.
        """
        labels = np.asarray(self.labels[as_slices(box)]).astype(np.int64)
        _check_signs(labels, self.name)
        return labels

    def read_verified(self, box: Box) -> NDArray[np.uint8]:
        """Return 0 for what must not be learned from, `PAINTED` or `MARKED` elsewhere."""
        flags = np.zeros(box_shape(box), np.uint8)
        inner = intersection(box, self.whole_box)
        if inner is None:
            return flags
        place = as_slices(relative(inner, box))
        if self.verified is None:
            flags[place] = MARKED
        else:
            found = np.asarray(self.verified[as_slices(inner)])
            flags[place] = np.where(found == 0, 0, MARKED)
            if self.painted_value is not None:
                flags[place][found == self.painted_value] = PAINTED
        if self.ignore is not None:
            flags[place][np.asarray(self.labels[as_slices(inner)]) == self.ignore] = 0
        for excluded in self.excluded:
            shared = intersection(excluded, box)
            if shared is not None:
                flags[as_slices(relative(shared, box))] = 0
        return flags

    def _check_labels(self) -> None:
        labels, sizes = self.labels, self.image.sizes
        if np.dtype(labels.dtype).kind not in "bui":
            raise DatasetError(
                f"labels are whole numbers, but those of {self.name} are {labels.dtype}: save them as uint16 or uint32"
            )
        found = tuple(sizes[axis] for axis in self.label_axes)
        if tuple(labels.shape) != found:
            raise DatasetError(
                f"labels must have the shape of their image, but those of {self.name} are {tuple(labels.shape)} and "
                f"the image is {found} along {self.label_axes}: save both at the same size"
            )
        if isinstance(labels, np.ndarray) and labels.size <= _CHECKED_AT_ONCE:
            _check_signs(labels, self.name)

    def _check_verified(self) -> None:
        if self.verified is None:
            return
        if tuple(self.verified.shape) != tuple(self.labels.shape):
            raise DatasetError(
                f"the mask of verified pixels must have the shape of the labels, but that of {self.name} is "
                f"{tuple(self.verified.shape)} and the labels are {tuple(self.labels.shape)}"
            )
        if np.dtype(self.verified.dtype).kind not in "bui":
            raise DatasetError(
                f"the mask of verified pixels is true or false, but that of {self.name} is {self.verified.dtype}: "
                "save it as 8-bit, 0 = not verified"
            )


def _check_signs(labels: NDArray[Any], name: str) -> None:
    if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
        raise DatasetError(
            f"labels are at least 0, but those of {name} go down to {labels.min()}: use 0 for background, and give "
            "pixels that nobody annotated with `verified` or `ignore`"
        )
