"""How much training patches are varied."""

from __future__ import annotations

from dataclasses import dataclass

from napari_seamless.errors import TrainingError


@dataclass(frozen=True)
class AugmentationOptions:
    """How much training patches are varied.

    Attributes
    ----------
    flips, right_angles : bool
        Mirror and turn patches; only axes of equal voxel size are exchanged.
    rotation : float
        Half of the patches are turned by any angle up to so many degrees, in the plane of Y and X.
    scaling : float
        Half of the patches are enlarged or shrunk by up to this factor (1 = never), so that one model fits objects of
        several sizes.
    elastic : float
        Half of the patches are deformed elastically; 0 = none, 1 = as strongly as in the papers (see `warp`).
    intensity : float
        Strength of gain, offset, gamma, noise and blur; 0 = none, 1 = usual.
    colour : float
        Strength of colour changes, and how often colour is turned to grey or a grey patch is inverted, for models of
        input kind "colour"; 0 = none, 1 = usual.
    """

    flips: bool = True
    right_angles: bool = True
    rotation: float = 180.0
    scaling: float = 1.5
    elastic: float = 1.0
    intensity: float = 1.0
    colour: float = 1.0

    def __post_init__(self) -> None:
        if not 1.0 <= self.scaling <= 4.0:
            raise TrainingError(f"scaling is a factor between 1 (none) and 4, not {self.scaling}")
        if not 0.0 <= self.rotation <= 180.0:
            raise TrainingError(f"rotation is an angle between 0 (none) and 180 degrees, not {self.rotation}")
        for name in ("elastic", "intensity", "colour"):
            if not 0.0 <= getattr(self, name) <= 3.0:
                raise TrainingError(f"{name} is a strength between 0 (none) and 3, not {getattr(self, name)}")


NO_AUGMENTATION = AugmentationOptions(
    flips=False, right_angles=False, rotation=0.0, scaling=1.0, elastic=0.0, intensity=0.0, colour=0.0
)
