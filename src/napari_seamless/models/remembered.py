"""The patches that a model remembers of what it learned from, to rehearse when it is fine-tuned.

They lie in the package beside the weights, as arrays in ``examples.safetensors``; what each array is stands in
``model.json`` with the file's SHA-256. Nothing is unpickled, and the file is read only when the patches are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from napari_seamless.errors import ModelError
from napari_seamless.images.intensity import IntensityRange
from napari_seamless.models.members import EXAMPLES_NAME, check_sha256, read_member

MAX_PATCHES = 64
MAX_BYTES = 64 * 10**6
"""Of all arrays together; what a package may hold of examples."""

MAX_FILE_BYTES = MAX_BYTES + 2**20

Role = Literal["train", "validation"]


@dataclass(frozen=True, eq=False)
class RememberedPatch:
    """A piece of an annotated image.

    Attributes
    ----------
    name : str
        Which image, and which part of it.
    dataset : str
        The collection that it is from.
    role : {"train", "validation"}
        What it may be used for: a patch that judged a model must not train its children.
    axes : str
        Of `pixels`, letters of ``CZYXS``.
    pixels : ndarray
        The image's own intensities, over `axes`.
    labels : ndarray, integer
        Object ids or class indices, over `axes` without C and S.
    verified : ndarray of bool, same shape as `labels`, or None
        What a person vouches for; None: all of it.
    voxel_size_um : tuple of float, or None
        Over the spatial axes.
    intensity : IntensityRange or None
        What becomes 0 and 1: measured on the whole image, of which the patch is a part.

    Raises
    ------
    ModelError
        If the values do not fit each other.
    """

    name: str
    dataset: str
    role: Role
    axes: str
    pixels: NDArray[Any]
    labels: NDArray[Any]
    verified: NDArray[np.bool_] | None = None
    voxel_size_um: tuple[float, ...] | None = None
    intensity: IntensityRange | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ModelError(f"the patch {self.name!r} cannot be remembered: {problem}")

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(array.nbytes for array in _arrays(self).values())


class PatchRecord(BaseModel):
    """What ``model.json`` says of one patch; see `RememberedPatch`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dataset: str
    role: Role
    axes: str
    has_verified: bool
    voxel_size_um: tuple[float, ...] | None = None
    intensity: IntensityRange | None = None


class ExamplesRecord(BaseModel):
    """What ``model.json`` says of ``examples.safetensors``: its SHA-256, and what its arrays are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    patches: tuple[PatchRecord, ...]


def check_bounds(patches: Sequence[RememberedPatch]) -> None:
    """Refuse more than a model may remember.

    Raises
    ------
    ModelError
        If there are more than `MAX_PATCHES`, or their arrays take more than `MAX_BYTES`.
    """
    total = sum(patch.nbytes for patch in patches)
    if len(patches) > MAX_PATCHES or total > MAX_BYTES:
        raise ModelError(
            f"a model remembers at most {MAX_PATCHES} patches of {MAX_BYTES / 1e6:.0f} MB altogether, not "
            f"{len(patches)} of {total / 1e6:.1f} MB: choose fewer or smaller ones"
        )


def write_examples(patches: Sequence[RememberedPatch], path: Path) -> ExamplesRecord:
    """Write patches into a file; return what ``model.json`` has to say of it.

    Raises
    ------
    ModelError
        If they are more than a model may remember.
    OSError
        What the system says.
    """
    from safetensors.numpy import save

    check_bounds(patches)
    arrays = {
        f"{index}.{part}": np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        for index, patch in enumerate(patches)
        for part, array in _arrays(patch).items()
    }
    content = save(arrays)
    path.write_bytes(content)
    records = tuple(
        PatchRecord(
            name=patch.name,
            dataset=patch.dataset,
            role=patch.role,
            axes=patch.axes,
            has_verified=patch.verified is not None,
            voxel_size_um=patch.voxel_size_um,
            intensity=patch.intensity,
        )
        for patch in patches
    )
    return ExamplesRecord(sha256=hashlib.sha256(content).hexdigest(), patches=records)


def read_examples(path: Path, record: ExamplesRecord) -> tuple[RememberedPatch, ...]:
    """Read the patches of a package.

    Raises
    ------
    ModelError
        If the file is missing, damaged, altered, or holds something else than ``model.json`` says.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = read_member(path, EXAMPLES_NAME, MAX_FILE_BYTES)
    check_sha256(path, EXAMPLES_NAME, hashlib.sha256(content).hexdigest(), record.sha256)
    try:
        arrays = load(content)
        patches = tuple(_patch(index, entry, arrays) for index, entry in enumerate(record.patches))
        check_bounds(patches)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path}: {EXAMPLES_NAME} does not hold the examples of model.json ({error}): export or fetch the model "
            "again, without its examples if need be"
        ) from error
    return patches


def _patch(index: int, entry: PatchRecord, arrays: dict[str, NDArray[Any]]) -> RememberedPatch:
    return RememberedPatch(
        name=entry.name,
        dataset=entry.dataset,
        role=entry.role,
        axes=entry.axes,
        pixels=arrays[f"{index}.pixels"],
        labels=arrays[f"{index}.labels"],
        verified=arrays[f"{index}.verified"] if entry.has_verified else None,
        voxel_size_um=entry.voxel_size_um,
        intensity=entry.intensity,
    )


def _arrays(patch: RememberedPatch) -> dict[str, NDArray[Any]]:
    arrays = {"pixels": patch.pixels, "labels": patch.labels}
    return arrays if patch.verified is None else {**arrays, "verified": patch.verified}


def _problem(patch: RememberedPatch) -> str:
    """Return what does not fit, or nothing."""
    axes, pixels, labels = patch.axes, patch.pixels, patch.labels
    if len(set(axes)) < len(axes) or not set("YX") <= set(axes) <= set("CZYXS") or len(axes) != pixels.ndim:
        return f"its axes are letters of CZYXS, one for each of its {pixels.ndim} dimensions, not {axes!r}"
    shape = tuple(side for axis, side in zip(axes, pixels.shape, strict=True) if axis not in "CS")
    if pixels.dtype.kind not in "buif" or pixels.size == 0:
        return f"its pixels are numbers, not {pixels.dtype} of shape {pixels.shape}"
    if labels.dtype.kind not in "ui" or labels.shape != shape:
        return f"its labels are whole numbers of shape {shape}, not {labels.dtype} of shape {labels.shape}"
    verified = patch.verified
    if verified is not None and (verified.dtype != np.bool_ or verified.shape != shape):
        return f"its mask is bool of shape {shape}, not {verified.dtype} of shape {verified.shape}"
    if patch.role not in get_args(Role):
        return f"its role is one of {list(get_args(Role))}, not {patch.role!r}"
    return _problem_of_numbers(patch, len(shape))


def _problem_of_numbers(patch: RememberedPatch, spatial_dims: int) -> str:
    sizes, scale = patch.voxel_size_um, patch.intensity
    if sizes is not None and (len(sizes) != spatial_dims or not all(isfinite(size) and size > 0 for size in sizes)):
        return f"its voxel size has {spatial_dims} numbers above 0, not {sizes}"
    if scale is not None and not (scale.low and all(map(isfinite, (*scale.low, *scale.high)))):
        return f"its intensities become 0 and 1 at finite numbers, not {scale.low} and {scale.high}"
    return ""
