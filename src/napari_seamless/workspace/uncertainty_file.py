"""``uncertainty.zarr``: how unsure the model of a workspace's labels is of every pixel, and which model that was."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seamless.errors import WorkspaceError
from napari_seamless.events import OnEvent, ShouldStop, ignore_event, never_stop
from napari_seamless.workspace.state import now

if TYPE_CHECKING:
    from napari_seamless.images.image import Image
    from napari_seamless.models.model import Model

UNCERTAINTY = "uncertainty.zarr"


@dataclass(frozen=True, eq=False)
class UncertaintyMap:
    """An uncertainty map on disk.

    Attributes
    ----------
    array : zarr.Array, float16, 0 to 1
        Over the labels' axes.
    model : str
        Name of the model that was asked.
    measure : str
        ``disagreement`` of a UNet++'s heads, or ``entropy`` of the classes.
    highest : float
        The highest value.
    made : str
        ISO 8601, UTC.
    """

    array: Any
    model: str
    measure: str
    highest: float
    made: str


def read_map(folder: Path, shape: tuple[int, ...]) -> UncertaintyMap | None:
    """Return the map in a workspace's folder; None when there is none. No pixel is read.

    Raises
    ------
    WorkspaceError
        If it is damaged, or of an image of another shape.
    """
    import zarr

    path = folder / UNCERTAINTY
    if not path.exists():
        return None
    try:
        array = zarr.open_array(path / "0", mode="r")
        model, measure, made = (str(array.attrs[name]) for name in ("model", "measure", "made"))
        highest = float(str(array.attrs["highest"]))
    except (OSError, ValueError, KeyError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}): map the uncertainty again, which replaces it") from error
    if array.shape != shape:
        raise WorkspaceError(
            f"{path} has shape {array.shape}, the labels have {shape}: map the uncertainty again, which replaces it"
        )
    return UncertaintyMap(array, model, measure, highest, made)


def make_map(
    folder: Path,
    image: Image,
    model: Model,
    *,
    name: str | None = None,
    channel: int | None = None,
    on_event: OnEvent = ignore_event,
    should_stop: ShouldStop = never_stop,
) -> None:
    """Compute the map of a workspace's image tile by tile; the one that is there is replaced when it is whole.

    Parameters
    ----------
    folder : pathlib.Path
        The workspace's.
    image, model, channel
        What the labels were made of, as for `segment`.
    name : str, optional
        What the model is called; by default what it calls itself.
    on_event, should_stop : callable
        As for `write_uncertainty`.

    Raises
    ------
    SeamlessError
        As `write_uncertainty`; `Cancelled` on request. The map is then as it was.
    """
    from napari_seamless.images.read_zarr import is_zarr
    from napari_seamless.inference.uncertainty_map import write_uncertainty

    path = folder / UNCERTAINTY
    if path.is_dir() and not is_zarr(path):  # its own description is what was damaged
        shutil.rmtree(path)
    facts = {"model": name or model.name, "made": now()}
    write_uncertainty(
        image, model, path, channel=channel, facts=facts, overwrite=True, on_event=on_event, should_stop=should_stop
    )
