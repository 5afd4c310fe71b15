"""What a network is: a frozen, checked description from which the same module can always be rebuilt. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from napari_seamless.errors import ConfigError, LevelError

Architecture = Literal["unet", "unetpp"]
Padding = Literal["same", "valid"]
Upsample = Literal["transposed", "nearest", "bilinear", "unpool"]
Norm = Literal["batch", "none"]
Widening = Literal["after_pooling", "before_pooling"]


@dataclass(frozen=True)
class NetworkConfig:
    """Architecture of a U-Net or UNet++ in two or three spatial dimensions.

    Attributes
    ----------
    architecture : {"unet", "unetpp"}
        U-Net (Ronneberger 2015, arXiv 1505.04597) or UNet++ (Zhou 2018, arXiv 1807.10165).
    spatial_dims : {2, 3}
    in_channels, out_channels : int
        Channels of the image that is fed, and logits (classes) that come out.
    features : tuple of int
        Channels of each level, the finest first; ``len(features) - 1`` is the number of poolings, ``depth``.
    padding : {"same", "valid"}
        Zero-padded 3x3 convolutions, or unpadded ones whose output is smaller (572 → 388 at depth 4).
    upsample : {"transposed", "nearest", "bilinear", "unpool"}
        2x2 transposed convolution; or a 1x1 convolution to the finer level's channels, followed by nearest, (bi- or
        tri-)linear (``align_corners=False``) or max-unpooling with the pooling indices (U-Net only).
    norm : {"batch", "none"}
        Only batch norm: instance, group and layer norm look at a whole tile and would make seams.
    deep_supervision : bool
        UNet++ only: a head on every node x_{0,1} .. x_{0,depth}, which is what makes pruning possible.
    dropout : float
        Probability, after the deepest level's block (Ronneberger 2015).
    pool_sizes : tuple of tuple of int, or None
        For each pooling, its factor (1 or 2) for each spatial axis: ``((1, 2, 2), (2, 2, 2))`` for anisotropic
        stacks. None: 2 everywhere.
    widening : {"after_pooling", "before_pooling"}
        Which convolution of an encoder block widens. ``before_pooling`` is the 3D U-Net (Çiçek 2016,
        arXiv 1606.06650): the second one doubles the channels, and up-convolutions keep their channels and have no
        bias.

    Raises
    ------
    ConfigError
        If the values are unknown or do not fit together.
    """

    architecture: Architecture = "unet"
    spatial_dims: int = 2
    in_channels: int = 1
    out_channels: int = 2
    features: tuple[int, ...] = (32, 64, 128, 256, 512)
    padding: Padding = "same"
    upsample: Upsample = "transposed"
    norm: Norm = "batch"
    deep_supervision: bool = True
    dropout: float = 0.0
    pool_sizes: tuple[tuple[int, ...], ...] | None = None
    widening: Widening = "after_pooling"

    def __post_init__(self) -> None:
        _require_choice("architecture", self.architecture, get_args(Architecture))
        _require_choice("spatial_dims", self.spatial_dims, (2, 3))
        _require_choice("padding", self.padding, get_args(Padding))
        _require_choice("upsample", self.upsample, get_args(Upsample))
        _require_choice("norm", self.norm, get_args(Norm))
        _require_choice("widening", self.widening, get_args(Widening))
        for name in ("in_channels", "out_channels"):
            _require_positive(name, getattr(self, name))
        object.__setattr__(self, "features", _checked_features(self.features))
        object.__setattr__(self, "pool_sizes", _checked_pool_sizes(self))
        self._check_combination()

    def _check_combination(self) -> None:
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout must be at least 0 and below 1, not {self.dropout}: use for example 0.5")
        if self.architecture == "unetpp" and self.upsample == "unpool":
            raise ConfigError(
                "upsample 'unpool' needs one decoder per pooling and works with architecture 'unet' only: "
                "use 'transposed', 'nearest' or 'bilinear' for 'unetpp'"
            )
        if self.widening == "before_pooling" and any(width % 2 for width in self.features):
            raise ConfigError(
                f"widening 'before_pooling' halves each level's features, which must be even, not {self.features}"
            )

    @property
    def depth(self) -> int:
        """Number of poolings d; for UNet++ also the deepest pruning level."""
        return len(self.features) - 1

    @property
    def poolings(self) -> tuple[tuple[int, ...], ...]:
        """Pooling factors, one tuple over the spatial axes for each pooling, the finest first."""
        if self.pool_sizes is None:
            return ((2,) * self.spatial_dims,) * self.depth
        return self.pool_sizes

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels at which the network has a head, the shallowest first."""
        if self.architecture == "unetpp" and self.deep_supervision:
            return tuple(range(1, self.depth + 1))
        return (self.depth,)

    def resolve_level(self, level: int | None) -> int:
        """Return `level`, or the deepest one for None.

        Raises
        ------
        LevelError
            If the network has no head at that level.
        """
        if level is None:
            return self.depth
        if level not in self.levels:
            raise LevelError(
                f"level {level!r} has no head in this network: choose from {list(self.levels)} "
                "(a UNet++ with deep supervision has one at every level)"
            )
        return level

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """Rebuild a configuration from `as_dict`, refusing unknown keys."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"unknown network settings {unknown}: the known ones are {sorted(known)}")
        return cls(**values)


def _require_choice(name: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {list(choices)}, not {value!r}")


def _require_positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")


def _checked_features(features: Sequence[int]) -> tuple[int, ...]:
    if len(features) < 2:
        raise ConfigError(f"features needs at least 2 levels (one pooling), not {features!r}: use for example (32, 64)")
    for width in features:
        _require_positive("each entry of features", width)
    return tuple(features)


def _checked_pool_sizes(config: NetworkConfig) -> tuple[tuple[int, ...], ...] | None:
    if config.pool_sizes is None:
        return None
    pool_sizes = tuple(tuple(factors) for factors in config.pool_sizes)
    if len(pool_sizes) != config.depth:
        raise ConfigError(f"pool_sizes needs one entry for each of the {config.depth} poolings, not {len(pool_sizes)}")
    for factors in pool_sizes:
        if len(factors) != config.spatial_dims or any(factor not in (1, 2) for factor in factors):
            raise ConfigError(
                f"each entry of pool_sizes holds {config.spatial_dims} factors of 1 or 2, not {factors}: "
                "use for example (1, 2, 2)"
            )
        if all(factor == 1 for factor in factors):
            raise ConfigError(f"a pooling must reduce at least one axis: {factors} reduces none")
    return pool_sizes
