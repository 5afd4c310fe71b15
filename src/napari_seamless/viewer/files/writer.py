"""Saving a Labels layer as OME-Zarr or OME-TIFF, with its voxel size."""

from __future__ import annotations

from typing import Any

from napari_seamless.viewer.layers import METADATA_KEY


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the data of a Labels layer.

    Parameters
    ----------
    path : str
        Ends in ``.ome.zarr``, ``.zarr``, ``.ome.tif`` or ``.tif``; napari has asked about replacing it.
    data : array, or sequence of arrays for a pyramid
    attributes : dict
        The layer's attributes.

    Returns
    -------
    list of str
        What was written.
    """
    from napari.layers import Labels

    from napari_seamless.images.write import write_array
    from napari_seamless.viewer.layers import axes_choices, full_resolution, voxel_size_of

    placement = {name: attributes[name] for name in ("scale", "units", "axis_labels") if name in attributes}
    layer = Labels(data, multiscale=attributes.get("multiscale"), **placement)
    axes = attributes.get("metadata", {}).get(METADATA_KEY, {}).get("axes") or axes_choices(layer)[0]
    write_array(
        path, full_resolution(layer), axes, voxel_size_um=voxel_size_of(layer, axes), labels=True, overwrite=True
    )
    return [path]
