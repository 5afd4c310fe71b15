"""A trained model as users handle it: a network together with everything needed to apply it correctly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

from napari_seamless.errors import ChannelError, ConfigError, ModelError
from napari_seamless.images.intensity import Normalization
from napari_seamless.models.card import ModelCard
from napari_seamless.models.price_list import PriceList, auto_level, check_prices
from napari_seamless.models.remembered import RememberedPatch, check_bounds
from napari_seamless.models.stored_weights import LoadWeights, in_memory
from napari_seamless.models.stored_weights import Weights as Weights  # part of a model's vocabulary
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.objects.instances import INSTANCE_CLASSES, InstanceRule

if TYPE_CHECKING:
    from napari_seamless.networks.nested import NestedNetwork

Task = Literal["semantic", "instances"]
InputKind = Literal["channels", "grey", "colour"]


def _no_examples() -> tuple[RememberedPatch, ...]:
    return ()


@dataclass(frozen=True, eq=False)
class Model:
    """A network, how its input is prepared and what its output means.

    Attributes
    ----------
    name : str
    config : NetworkConfig
    task : {"semantic", "instances"}
        Whether labels are classes, or ids of single objects.
    classes : tuple of str
        One name for each output channel; for instances always ``("background", "rim", "core")``. A single channel
        is the foreground's own probability (a sigmoid instead of a softmax).
    normalization : Normalization
        How intensities of the whole image are scaled.
    input_kind : {"channels", "grey", "colour"}
        ``channels``: all `config.in_channels` channels are fed as they are. ``grey``: one chosen channel; RGB becomes
        luminance. ``colour``: RGB as it is; a single grey channel is repeated three times.
    instance_rule : InstanceRule or None
        For instances: how class probabilities become objects.
    card : ModelCard
    voxel_size_um : tuple of float, or None
        Voxel size of the training data, over the spatial axes.
    parent : str or None
        The model this one was fine-tuned from.
    price_list : tuple of LevelPrice
        What each level is worth and costs, the shallowest first; empty where that was not measured.
    n_examples : int
        How many patches the model remembers of what it learned from.
    load_examples : callable
        Returns these patches, a tuple of RememberedPatch; they are read now, and ModelError is raised if they were
        damaged or altered.
    network : torch.nn.Module
        In evaluation mode, on the CPU, float32; built and filled on first use.
    """

    name: str
    config: NetworkConfig
    task: Task
    classes: tuple[str, ...]
    normalization: Normalization
    input_kind: InputKind
    instance_rule: InstanceRule | None
    card: ModelCard
    load_weights: LoadWeights = field(repr=False)
    voxel_size_um: tuple[float, ...] | None = None
    parent: str | None = None
    price_list: PriceList = ()
    n_examples: int = 0
    load_examples: Callable[[], tuple[RememberedPatch, ...]] = field(default=_no_examples, repr=False)
    _built: list[NestedNetwork] = field(default_factory=list, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_task(self.task, self.classes, self.config)
        _check_input_kind(self.input_kind, self.config)
        check_prices(self.price_list, self.config)

    @property
    def auto_level(self) -> int:
        """The level that ``level="auto"`` means: the shallowest one that is as good as the best, as far as is known."""
        return auto_level(self.price_list, self.config)

    @property
    def network(self) -> NestedNetwork:
        """The torch module; see the class."""
        with self._lock:
            if not self._built:
                self._built.append(self._filled(None))
            return self._built[0]

    @property
    def is_built(self) -> bool:
        """Whether `network` has been built, and may have been changed since."""
        return bool(self._built)

    def network_at(self, level: int | None = None) -> NestedNetwork:
        """Return a network of one's own with only the nodes that a pruning level needs, in evaluation mode.

        The weights of all other nodes are neither read nor given memory, unless `network` has been built before: then
        that one is copied as it is now, in its own precision.

        Raises
        ------
        LevelError
            If the network has no head at `level`; by default the deepest one.
        ModelError
            If the weights are missing, damaged, or do not fit.
        """
        return self._filled(self.config.resolve_level(level))

    def _filled(self, level: int | None) -> NestedNetwork:
        """Return a network with its weights; all tensors that are stored must belong to it if `level` is None."""
        import torch

        from napari_seamless.networks import outline_network

        network = outline_network(self.config, level)
        names = network.state_dict().keys()
        if level is not None and self._built:
            state = self._built[0].state_dict()
            weights = {name: state[name].clone() for name in names}
        else:
            stored = self.load_weights(None if level is None else names)
            # Half-precision weights become float32 here.
            weights = {
                name: tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
                for name, tensor in stored.items()
            }
        try:
            network.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            first_line = str(error).splitlines()[-1].strip()
            raise ModelError(
                f"the weights of model {self.name!r} do not fit its network configuration ({first_line}): "
                "use the model.json that was saved together with them"
            ) from error
        return network.eval()

    def with_examples(self, patches: Sequence[RememberedPatch]) -> Model:
        """Return a model like this one that remembers these patches, and only these.

        Raises
        ------
        ModelError
            If they are more than a model may remember.
        """
        kept = tuple(patches)
        check_bounds(kept)
        return replace(self, n_examples=len(kept), load_examples=lambda: kept)

    def with_weights(self, weights: Weights, **changes: object) -> Model:
        """Return a model like this one with other weights, and other attributes where given.

        Without price list and examples: those of other weights say nothing about these.
        """
        kept = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        own = {"load_weights": in_memory(kept), "price_list": (), "n_examples": 0, "load_examples": _no_examples}
        return replace(self, **{**own, **changes})  # type: ignore[arg-type]


def _check_task(task: str, classes: tuple[str, ...], config: NetworkConfig) -> None:
    if task not in get_args(Task):
        raise ConfigError(f"task must be one of {list(get_args(Task))}, not {task!r}")
    if len(classes) != config.out_channels:
        raise ConfigError(
            f"a model needs one class for each of the network's {config.out_channels} output channels, "
            f"not {len(classes)} {classes}: change classes or NetworkConfig.out_channels"
        )
    if task == "instances" and classes != INSTANCE_CLASSES:
        raise ConfigError(f"a model of instances has the classes {INSTANCE_CLASSES}, not {classes}")


def _check_input_kind(input_kind: str, config: NetworkConfig) -> None:
    needed = {"grey": 1, "colour": 3}.get(input_kind, config.in_channels)
    if input_kind not in get_args(InputKind):
        raise ConfigError(f"input_kind must be one of {list(get_args(InputKind))}, not {input_kind!r}")
    if config.in_channels != needed:
        raise ChannelError(
            f"input_kind {input_kind!r} feeds {needed} channels, but the network takes {config.in_channels}: "
            f"use NetworkConfig(in_channels={needed}) or input_kind 'channels'"
        )


def create_model(
    config: NetworkConfig,
    *,
    task: Task = "semantic",
    classes: tuple[str, ...] | None = None,
    seed: int = 0,
    name: str = "untitled",
    input_kind: InputKind | None = None,
    normalization: Normalization | None = None,
    instance_rule: InstanceRule | None = None,
    card: ModelCard | None = None,
    voxel_size_um: tuple[float, ...] | None = None,
    price_list: PriceList = (),
) -> Model:
    """Return an untrained model.

    Parameters
    ----------
    config : NetworkConfig
    task : {"semantic", "instances"}
    classes : tuple of str, optional
        By default background, rim and core for instances, and background, class 1, class 2, ... otherwise.
    seed : int
        Of the initial weights; the global random state is left alone.
    name, input_kind, normalization, instance_rule, card, voxel_size_um, price_list
        See `Model`. Without `input_kind`, one input channel means "grey" and more mean "channels".

    Raises
    ------
    ConfigError, ChannelError
        If classes, task, input kind and configuration do not fit together.
    """
    import torch

    from napari_seamless.networks import build_network

    if classes is None:
        classes = INSTANCE_CLASSES if task == "instances" else _numbered_classes(config.out_channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        initial = build_network(config).state_dict()
    return Model(
        name=name,
        config=config,
        task=task,
        classes=tuple(classes),
        normalization=normalization or Normalization(),
        input_kind=input_kind or ("grey" if config.in_channels == 1 else "channels"),
        instance_rule=(instance_rule or InstanceRule()) if task == "instances" else None,
        card=card or ModelCard(),
        load_weights=in_memory(initial),
        voxel_size_um=voxel_size_um,
        price_list=price_list,
    )


def _numbered_classes(out_channels: int) -> tuple[str, ...]:
    if out_channels == 1:
        return ("foreground",)
    return ("background", *(f"class {number}" for number in range(1, out_channels)))
