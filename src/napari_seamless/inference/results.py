"""Where a run's results go: arrays in memory, or files written region by region."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.errors import FileWriteError
from napari_seamless.images.image import Image
from napari_seamless.images.write import check_output, staged_output
from napari_seamless.inference.plan import SegmentationPlan
from napari_seamless.inference.tiles import Span
from napari_seamless.models.model import Model

MOST_BYTES_IN_MEMORY = 2**28
"""Intermediate states of a plane beyond this go to a temporary file."""

_SPATIAL_CHUNKS = {2: (512, 512), 3: (32, 256, 256)}
_BLOCKS = {2: (2048, 2048), 3: (128, 256, 256)}


@dataclass(frozen=True)
class OutputPaths:
    """The files a run writes; None for what is not wanted as a file.

    Attributes
    ----------
    labels, probabilities, uncertainty : Path or None
    overwrite : bool
        Whether existing files may be replaced.
    """

    labels: Path | None
    probabilities: Path | None
    uncertainty: Path | None
    overwrite: bool

    def check(self) -> None:
        """Raise OutputExistsError or FileWriteError for whatever can be seen to fail, before any work."""
        paths = [path for path in (self.labels, self.probabilities, self.uncertainty) if path is not None]
        for path in paths:
            check_output(path, self.overwrite)
        if len({path.resolve() for path in paths}) < len(paths):
            raise FileWriteError(f"two results would be written to the same file ({paths[0]}): give each its own name")


class Results:
    """The open outputs of a run; regions are written as they are finished.

    Files appear under their names when `stack` is closed without an error, and not at all otherwise.

    Parameters
    ----------
    stack : ExitStack
        What closes the files.
    plan : SegmentationPlan
    model : Model
    image : Image
        Gives the voxel size.
    paths : OutputPaths
    """

    def __init__(
        self, stack: ExitStack, plan: SegmentationPlan, model: Model, image: Image, paths: OutputPaths
    ) -> None:
        self._stack, self._plan, self._image, self._paths = stack, plan, image, paths
        self._is_instances = model.task == "instances"
        self.labels = self._labels(model)
        self.probabilities = self._probabilities(model)
        self.uncertainty = self._file(paths.uncertainty, plan.output_axes, plan.output_shape, np.dtype(np.float32))
        self.states: Any = self._states() if self._is_instances else None

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Blocks in which objects are joined across tiles; a multiple of the files' chunks."""
        return _BLOCKS[len(self._plan.spatial_axes)]

    def place(self, plane: Sequence[int], inner: Sequence[Span]) -> tuple[slice, ...]:
        """Return where a region lies in the results: image coordinates less the start of what is segmented."""
        starts = [start for start, _ in self._plan.output_region]
        spans = [*((index, index + 1) for index in plane), *inner]
        return tuple(slice(low - start, high - start) for (low, high), start in zip(spans, starts, strict=True))

    def plane_of_labels(self, plane: Sequence[int]) -> PlaneView:
        """Return one plane of the labels, to be read and written by slices."""
        starts = [start for start, _ in self._plan.planes]
        return PlaneView(self.labels, tuple(index - start for index, start in zip(plane, starts, strict=True)))

    def _labels(self, model: Model) -> Any:
        plan = self._plan
        dtype = np.dtype(np.uint32 if self._is_instances else np.min_scalar_type(max(model.config.out_channels - 1, 1)))
        if self._paths.labels is None:
            return np.zeros(plan.output_shape, dtype)
        return self._file(self._paths.labels, plan.output_axes, plan.output_shape, dtype, labels=True)

    def _probabilities(self, model: Model) -> Any:
        plan, n_classes = self._plan, model.config.out_channels
        before = plan.output_axes.index("T") + 1 if "T" in plan.output_axes else 0  # files have the order TCZYX
        axes = plan.output_axes[:before] + "C" + plan.output_axes[before:]
        shape = (*plan.output_shape[:before], n_classes, *plan.output_shape[before:])
        opened = self._file(self._paths.probabilities, axes, shape, np.dtype(np.float32), channels=model.classes)
        return None if opened is None else _ChannelsFirst(opened, before)

    def _file(
        self,
        path: Path | None,
        axes: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        labels: bool = False,
        channels: tuple[str, ...] = (),
    ) -> Any:
        if path is None:
            return None
        spatial = _SPATIAL_CHUNKS[len(self._plan.spatial_axes)]
        chunks = (*(1,) * (len(shape) - len(spatial)), *spatial)
        return self._stack.enter_context(
            staged_output(
                path,
                shape=shape,
                axes=axes,
                dtype=dtype,
                chunks=tuple(min(chunk, length) for chunk, length in zip(chunks, shape, strict=True)),
                voxel_size_um=self._image.voxel_size_um,
                channel_names=channels,
                labels=labels,
                overwrite=self._paths.overwrite,
            )
        )

    def _states(self) -> Any:
        """Return room for the states of one plane, beside the output if they are large."""
        region = self._plan.tiles.region
        shape = tuple(stop - start for start, stop in region)
        if prod(shape) <= MOST_BYTES_IN_MEMORY:
            return np.zeros(shape, np.uint8)
        import zarr

        beside = self._paths.labels.parent if self._paths.labels is not None else None
        folder = Path(tempfile.mkdtemp(prefix=".states-", dir=beside))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        chunks = _SPATIAL_CHUNKS[len(shape)]
        return zarr.create_array(folder / "states.zarr", shape=shape, chunks=chunks, dtype=np.uint8)


class PlaneView:
    """One plane of a larger array, read and written by slices as if it stood alone."""

    def __init__(self, array: Any, plane: tuple[int, ...]) -> None:
        self._array, self._plane = array, plane

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the plane."""
        return tuple(self._array.shape[len(self._plane) :])

    @property
    def dtype(self) -> Any:
        """Pixel type."""
        return self._array.dtype

    def __getitem__(self, region: Any) -> Any:
        return self._array[self._index(region)]

    def __setitem__(self, region: Any, block: Any) -> None:
        self._array[self._index(region)] = block

    def _index(self, region: Any) -> tuple[Any, ...]:
        return (*self._plane, *(region if isinstance(region, tuple) else (region,)))


class _ChannelsFirst:
    """Writes (classes, ...) blocks into a file whose class axis stands after time."""

    def __init__(self, array: Any, channel_axis: int) -> None:
        self._array, self._channel_axis = array, channel_axis

    def __setitem__(self, place: tuple[slice, ...], block: Any) -> None:
        where = (*place[: self._channel_axis], slice(None), *place[self._channel_axis :])
        self._array[where] = np.moveaxis(block, 0, self._channel_axis)
