"""From data and options to everything a run needs, resolved and checked before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_seamless.errors import ConfigError, DatasetError, TrainingError
from napari_seamless.inference.devices import free_memory, resolve_device, resolve_precision
from napari_seamless.models.model import InputKind, Model, Task, create_model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry, round_up
from napari_seamless.training.dataset import check_together, open_datasets
from napari_seamless.training.examples import Example
from napari_seamless.training.memory import fit_to_memory
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.patches import PatchDrawer
from napari_seamless.training.planes import AnnotatedPlane, annotated_planes
from napari_seamless.training.sources import fed_to, prepare_sources
from napari_seamless.training.split import split_examples
from napari_seamless.training.validation import ValidationPlace, choose_for_validation

_PATCH_SIZE = {2: (192, 192), 3: (32, 64, 64)}
_BATCH_SIZE = {2: 8, 3: 2}
_MAX_DEFAULT_CLASSES = 16
_STEPS_PER_EPOCH = (20, 200)


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """What a run needs.

    Attributes
    ----------
    model : Model
        Untrained, or the one to go on from.
    drawer : PatchDrawer
        Draws from the training images.
    validation : list of ValidationPlace
        Empty when too little is verified to hold any of it out.
    notices : tuple of str
        What the person should know about the data.
    batch_size, steps_per_epoch : int
    crop : tuple of int
        Pixels that the network removes on each side (valid padding).
    device, precision : str
        Resolved.
    """

    model: Model
    drawer: PatchDrawer
    validation: list[ValidationPlace]
    notices: tuple[str, ...]
    batch_size: int
    steps_per_epoch: int
    crop: tuple[int, ...]
    device: str
    precision: str


def read_examples(data: Sequence[str | Path | Example] | str | Path) -> list[Example]:
    """Return the examples of folders, or those that were given."""
    given = [data] if isinstance(data, str | Path) else list(data)
    examples = [item for item in given if isinstance(item, Example)]
    if examples and len(examples) < len(given):
        raise DatasetError("give either folders or examples, not both")
    if not examples:
        return open_datasets([item for item in given if isinstance(item, str | Path)])
    return examples


def default_model(
    examples: Sequence[Example],
    *,
    task: Task = "instances",
    spatial_dims: int | None = None,
    architecture: str = "unetpp",
    features: Sequence[int] = (16, 32, 64, 128, 256),
    input_kind: InputKind | None = None,
    classes: Sequence[str] | None = None,
    name: str = "untitled",
    seed: int = 0,
    **config: Any,
) -> Model:
    """Return an untrained model that fits the examples.

    Parameters
    ----------
    examples : sequence of Example
    task : {"instances", "semantic"}
    spatial_dims : int, optional
        By default 3 for volumes; 2 treats each plane of a volume as an image.
    architecture : {"unetpp", "unet"}
    features : sequence of int
    input_kind : {"channels", "grey", "colour"}, optional
        By default "colour" if any image has colours, else "grey" for one channel and "channels" for more.
    classes : sequence of str, optional
        Names of the semantic classes, background first; by default as many as the labels hold.
    name : str
    seed : int
        Of the weights.
    **config
        Further settings of `NetworkConfig`.

    Raises
    ------
    DatasetError, ConfigError, ChannelError
    """
    check_together(examples, spatial_dims)
    dims = spatial_dims or examples[0].spatial_dims
    kind = input_kind or _default_input_kind(examples)
    in_channels = {"grey": 1, "colour": 3}.get(kind, _n_channels(examples[0]))
    n_classes = 3 if task == "instances" else len(classes or ()) or _count_classes(examples, dims)
    network = NetworkConfig(
        architecture=architecture,  # type: ignore[arg-type]
        spatial_dims=dims,
        in_channels=in_channels,
        out_channels=n_classes,
        features=tuple(features),
        **config,
    )
    sizes = examples[0].image.voxel_size_um
    return create_model(
        network,
        task=task,
        classes=tuple(classes) if classes else None,
        seed=seed,
        name=name,
        input_kind=kind,
        voxel_size_um=sizes and sizes[-dims:],
    )


def _default_input_kind(examples: Sequence[Example]) -> InputKind:
    if any("S" in example.image.axes for example in examples):
        return "colour"
    return "grey" if all(_n_channels(example) == 1 for example in examples) else "channels"


def _n_channels(example: Example) -> int:
    sizes = example.image.sizes
    return int(sizes.get("C", sizes.get("S", 1)))


def _count_classes(examples: Sequence[Example], spatial_dims: int) -> int:
    planes = [plane for example in examples for plane in annotated_planes(example, spatial_dims)]
    largest = max((_largest_label(plane) for plane in planes), default=0)
    if largest >= _MAX_DEFAULT_CLASSES:
        raise DatasetError(
            f"semantic labels hold one small number for each class, but the largest value found is {largest}: use task "
            "'instances' if the values count objects, name the value with `ignore` if it means 'not annotated', or "
            "name the classes"
        )
    return max(2, largest + 1)


def _largest_label(plane: AnnotatedPlane) -> int:
    """Return the largest verified label."""
    return max(int(plane.read_labels(block)[plane.read_verified(block) > 0].max(initial=0)) for block in plane.blocks())


def prepare_training(examples: Sequence[Example], model: Model, options: TrainingOptions) -> TrainingSetup:
    """Split the examples, make their targets, and resolve what the options leave open.

    Raises
    ------
    DatasetError, ChannelError, ConfigError, TrainingError, DeviceError
        If data, model and options do not fit each other.
    """
    config = model.config
    check_together(examples, config.spatial_dims)
    if config.spatial_dims > examples[0].spatial_dims:
        raise ConfigError(
            f"the network is {config.spatial_dims}D, but the images are {examples[0].spatial_dims}D: use "
            f"NetworkConfig(spatial_dims={examples[0].spatial_dims})"
        )
    device = resolve_device(options.device)
    for example in examples:
        fed_to(example, model)
    shape = geometry(config)
    split = split_examples(examples, config.spatial_dims, shape.halo, options.validation_fraction, options.seed)
    precision = resolve_precision(options.precision, device)
    patch_size, batch_size = fit_to_memory(
        config,
        _patch_size(config, options),
        options.batch_size or _BATCH_SIZE[config.spatial_dims],
        free_memory(device),
        precision,
        patch_is_given=options.patch_size is not None,
        batch_is_given=options.batch_size is not None,
    )
    drawer = PatchDrawer(
        sources=prepare_sources(split.training, model, options.targets, patch_size, options.seed),
        patch_size=patch_size,
        margin=_margin(config, patch_size),
        augmentation=options.augmentation,
        targets=options.targets,
        is_instances=model.task == "instances",
        is_colour_input=model.input_kind == "colour",
    )
    return TrainingSetup(
        model=model,
        drawer=drawer,
        validation=choose_for_validation(split.validation, model),
        notices=split.notices,
        batch_size=batch_size,
        steps_per_epoch=options.steps_per_epoch or _steps_per_epoch(drawer, batch_size),
        crop=shape.crop,
        device=device,
        precision=precision,
    )


def _steps_per_epoch(drawer: PatchDrawer, batch_size: int) -> int:
    patch_area = 1
    for size in drawer.patch_size:
        patch_area *= size
    needed = -(-sum(source.area for source in drawer.sources) // (patch_area * batch_size))
    lowest, highest = _STEPS_PER_EPOCH
    return min(max(needed, lowest), highest)


def _patch_size(config: NetworkConfig, options: TrainingOptions) -> tuple[int, ...]:
    """Return the patch size that is wanted, fitted to the network."""
    wanted = options.patch_size or _PATCH_SIZE[config.spatial_dims]
    if len(wanted) != config.spatial_dims:
        raise TrainingError(
            f"patch_size needs {config.spatial_dims} entries for a {config.spatial_dims}D network, not {wanted}"
        )
    shape = geometry(config)
    if any(shape.crop):
        inner = [max(1, side - 2 * crop) for side, crop in zip(wanted, shape.crop, strict=True)]
        return tuple(shape.input_sizes(inner))
    fitting = tuple(round_up(side, m) for side, m in zip(wanted, shape.alignment, strict=True))
    if options.patch_size is not None and fitting != tuple(wanted):
        raise TrainingError(
            f"patch_size {tuple(wanted)} is not a multiple of {shape.alignment} ({config.depth} poolings): use "
            f"{fitting}"
        )
    return fitting


def _margin(config: NetworkConfig, patch_size: Sequence[int]) -> tuple[int, ...]:
    """Return the pixels along each side of a patch that weigh zero."""
    shape = geometry(config)
    if any(shape.crop):
        # A valid network's own crop is the margin: its output covers the middle only.
        return shape.crop
    return tuple(min(m, side // 8) for m, side in zip(shape.alignment, patch_size, strict=True))
