"""How much memory a training step takes, and which patches and batches fit into what there is. No torch.

Backpropagation needs what the forward pass made: of each block the joined input, and of each convolution the result
before and after batch norm (ReLU works in place); of each pooling the places of the maxima. Gradients come on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from napari_seamless.errors import OutOfMemoryError
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.cost import weight_values
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.graph import block_channels, nodes_for, up_channels

SAFE_SHARE = 0.6
"""Of the free memory: the allocator's leftovers, validation and the images themselves need the rest."""

_BYTES = {"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2}
_INDEX_BYTES = 8
_BYTES_PER_WEIGHT = 4 + 4 + 8 + 4 + 4
"""Weight, gradient, AdamW's two moments, moving average, best so far."""
_LOSS_VALUES_PER_CLASS = 3
"""Log-probabilities, probabilities and true classes, in float32."""
_BATCHES_AHEAD = 5
_SMALLEST_BATCH = 2


def saved_bytes_per_pixel(config: NetworkConfig, precision: str) -> float:
    """Return the bytes that the forward pass of the network keeps for the backward pass, per pixel of its input."""
    size = _BYTES[precision]
    results = 2 if config.norm == "batch" else 1
    total = 0.0
    for node in nodes_for(config):
        share = 1.0 / prod(prod(factors) for factors in config.poolings[: node[0]])
        into, between, out = block_channels(config, node)
        total += size * share * (into + results * (between + out))
        if node[1] == 0 and node[0] < config.depth:
            total += _INDEX_BYTES * share / prod(config.poolings[node[0]]) * out
    return total


def training_bytes_per_pixel(config: NetworkConfig, precision: str) -> float:
    """Return the bytes of a training step per pixel of its patches: kept results, loss, gradients, batches ahead."""
    size = _BYTES[precision]
    gradients = largest = 0.0
    for node in nodes_for(config):
        share = 1.0 / prod(prod(factors) for factors in config.poolings[: node[0]])
        into, _, out = block_channels(config, node)
        gradients += size * share * out
        raised = up_channels(config, node[0]) if node[1] else 0
        largest = max(largest, size * share * (into + raised + 2 * out))
    loss = 4 * len(config.levels) * (_LOSS_VALUES_PER_CLASS * config.out_channels + 2)
    batches = _BATCHES_AHEAD * (4 * config.in_channels + 8 + 4)
    return saved_bytes_per_pixel(config, precision) + gradients + largest + loss + batches


def training_bytes(config: NetworkConfig, patch_size: Sequence[int], batch_size: int, precision: str) -> int:
    """Return about how many bytes training takes at its peak, without the program and the images.

    Parameters
    ----------
    config : NetworkConfig
    patch_size : sequence of int
        Pixels per spatial axis.
    batch_size : int
    precision : {"fp32", "bf16", "fp16"}
    """
    fixed = weight_values(config) * (_BYTES_PER_WEIGHT + (_BYTES[precision] if precision != "fp32" else 0))
    return int(fixed + training_bytes_per_pixel(config, precision) * prod(patch_size) * batch_size)


def fit_to_memory(
    config: NetworkConfig,
    patch_size: Sequence[int],
    batch_size: int,
    free_bytes: int,
    precision: str,
    *,
    patch_is_given: bool = False,
    batch_is_given: bool = False,
) -> tuple[tuple[int, ...], int]:
    """Return a patch size and a batch size that fit into the memory: those wanted, or smaller ones.

    First fewer patches, down to two, then smaller ones: each time the longest sides shrink by a step of the pooling
    grid, down to four windows of the deepest level; then a single patch. What is given stays, and where both are, the
    memory is not looked at.

    Parameters
    ----------
    config : NetworkConfig
    patch_size : sequence of int
        Fitted to the network.
    batch_size : int
    free_bytes : int
        Of the device.
    precision : str
    patch_is_given, batch_is_given : bool
        Chosen by a person.

    Raises
    ------
    OutOfMemoryError
        If not even the smallest one fits, with what would.
    """
    room = int(SAFE_SHARE * free_bytes)
    patch, batch = tuple(patch_size), batch_size
    if patch_is_given and batch_is_given:
        return patch, batch
    smallest = _smallest_patch(config)

    def fits() -> bool:
        return training_bytes(config, patch, batch, precision) <= room

    while not fits() and not batch_is_given and batch > _SMALLEST_BATCH:
        batch -= 1
    while not fits() and not patch_is_given:
        smaller = _smaller_patch(config, patch, smallest)
        if smaller == patch:
            break
        patch = smaller
    if not fits() and not batch_is_given:
        batch = 1
    if not fits():
        raise _too_large(config, patch, batch, room, precision)
    return patch, batch


def _smallest_patch(config: NetworkConfig) -> tuple[int, ...]:
    """Return the smallest patch worth training on: four windows of the deepest level along each axis."""
    shape = geometry(config)
    return tuple(4 * alignment + 2 * crop for alignment, crop in zip(shape.alignment, shape.crop, strict=True))


def _smaller_patch(config: NetworkConfig, patch: tuple[int, ...], smallest: tuple[int, ...]) -> tuple[int, ...]:
    """Return the patch with its longest sides shortened by a step of the pooling grid, if they can be.

    Sides of one length stay so: only such axes are exchanged when patches are turned.
    """
    steps = geometry(config).alignment
    can_shrink = [side - step >= least for side, step, least in zip(patch, steps, smallest, strict=True)]
    longest = max((side for side, can in zip(patch, can_shrink, strict=True) if can), default=0)
    return tuple(
        side - step if can and side == longest else side
        for side, step, can in zip(patch, steps, can_shrink, strict=True)
    )


def _too_large(
    config: NetworkConfig, patch: tuple[int, ...], batch: int, room: int, precision: str
) -> OutOfMemoryError:
    needed = training_bytes(config, patch, batch, precision)
    sides = " x ".join(map(str, patch))
    return OutOfMemoryError(
        f"training this network on {batch} patches of {sides} in {precision} takes about {needed / 2**20:.0f} MiB, but "
        f"only {room / 2**20:.0f} MiB may be used: choose narrower features, a smaller patch_size or batch_size, or "
        "another device"
    )
