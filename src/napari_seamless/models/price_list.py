"""What each level of a UNet++ costs and what it is worth, and the level that ``level="auto"`` takes from that."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from napari_seamless.errors import ConfigError
from napari_seamless.networks.config import NetworkConfig

AS_GOOD_AS_THE_BEST = 0.005
"""Half a point: levels whose scores differ by no more count as equally good."""

_ROUNDING = 1e-9


class LevelPrice(BaseModel):
    """One level of a model: measured once after training, and stored in ``model.json``.

    Attributes
    ----------
    level : int
        Pruning level of a UNet++, or the depth of a U-Net.
    score : float
        What models are compared by (AP50 or IoU), on images that were held out.
    ms_per_megapixel : float
        Milliseconds the network takes for 10^6 pixels (voxels) of its input. A halo comes on top, the smaller the
        shallower the level is; `inference.plan.plan_segmentation` adds it.
    parameters : int
        Weights and biases of the nodes that the level needs, its own head and all shallower ones included.
    device, precision : str
        On which, and in which, the time was measured.
    threads : int
        Threads that a CPU used; 0 for other devices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: int = Field(ge=1)
    score: float = Field(allow_inf_nan=False)
    ms_per_megapixel: float = Field(gt=0, allow_inf_nan=False)
    parameters: int = Field(ge=1)
    device: str = ""
    precision: str = ""
    threads: int = Field(default=0, ge=0)


PriceList = tuple[LevelPrice, ...]


def check_prices(prices: Sequence[LevelPrice], config: NetworkConfig) -> None:
    """Refuse a price list that is not empty and has not one row for each level of the network, in order.

    Raises
    ------
    ConfigError
    """
    found = tuple(price.level for price in prices)
    if found and found != config.levels:
        raise ConfigError(
            f"a price list has one row for each level of the network, {list(config.levels)}, not {list(found)}: "
            "measure it again"
        )


def auto_level(prices: Sequence[LevelPrice], config: NetworkConfig) -> int:
    """Return the shallowest level that is as good as the best one: within `AS_GOOD_AS_THE_BEST` of its score.

    Without a price list it is the deepest one.
    """
    if not prices:
        return config.depth
    enough = max(price.score for price in prices) - AS_GOOD_AS_THE_BEST - _ROUNDING
    return min(price.level for price in prices if price.score >= enough)
