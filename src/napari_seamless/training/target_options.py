"""What the network is asked to learn from labels, and how much each pixel counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from napari_seamless.errors import TrainingError

Weighting = Literal["auto", "none", "contacts", "border"]
BorderUnit = Literal["px", "um"]


@dataclass(frozen=True)
class TargetOptions:
    """How labels become targets and weights.

    Attributes
    ----------
    weighting : {"auto", "none", "contacts", "border"}
        "contacts": pixels between touching objects count more, see `targets.contact_weights`. "border": the weight map
        of the U-Net paper, see `border_weights.border_weights`. "auto": contacts for instances, none for classes.
    border_weight : float
        The paper's w0.
    border_sigma : float
        The paper's sigma, in `border_unit`.
    border_unit : {"px", "um"}
    cell_class : int, optional
        For classes: the class whose connected parts are the cells that borders lie between, for example 0 where 1 is
        membrane. By default every class but background.
    """

    weighting: Weighting = "auto"
    border_weight: float = 10.0
    border_sigma: float = 5.0
    border_unit: BorderUnit = "px"
    cell_class: int | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("weighting", get_args(Weighting)), ("border_unit", get_args(BorderUnit))):
            if getattr(self, name) not in allowed:
                raise TrainingError(f"{name} must be one of {list(allowed)}, not {getattr(self, name)!r}")
        if not self.border_weight >= 0:
            raise TrainingError(f"border_weight must be at least 0, not {self.border_weight}")
        if not self.border_sigma > 0:
            raise TrainingError(f"border_sigma must be more than 0, not {self.border_sigma}")
        if self.cell_class is not None and self.cell_class < 0:
            raise TrainingError(f"cell_class is a class index of at least 0, not {self.cell_class}")
