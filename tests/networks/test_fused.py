"""Fused convolutions give what the plain modules give, for every network, and stay seamless."""

import pytest
import torch

from napari_seamless.inference.devices import cpu_has_bf16
from napari_seamless.networks import build_network, fused
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.fused import FusedConvolution, fuse

CONFIGS = {
    "unet": {},
    "unetpp": {"architecture": "unetpp"},
    "3D": {"spatial_dims": 3},
    "valid": {"padding": "valid"},
    "unpool": {"upsample": "unpool"},
    "bilinear": {"upsample": "bilinear", "architecture": "unetpp"},
    "before pooling": {"widening": "before_pooling"},
}


def pair(dtype: torch.dtype, **settings: object) -> tuple[torch.nn.Module, torch.nn.Module]:
    config = NetworkConfig(features=(8, 16, 24), norm="none", **settings)  # type: ignore[arg-type]
    torch.manual_seed(0)
    plain = build_network(config).eval().to(dtype)
    last = torch.channels_last if config.spatial_dims == 2 else torch.channels_last_3d
    other = build_network(config).eval().to(dtype)
    other.load_state_dict(plain.state_dict())
    return plain.to(memory_format=last), other.to(memory_format=last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_fused_equals_plain(settings: dict, dtype: torch.dtype) -> None:
    plain, other = pair(dtype, **settings)
    can = fused.can_fuse(dtype)
    assert fuse(other) == can
    assert any(isinstance(module, FusedConvolution) for module in other.modules()) == can
    assert not can or not any(isinstance(module, torch.nn.ReLU) for module in other.modules())
    size = 68 if settings.get("padding") == "valid" else 48
    values = torch.randn((1, 1, *(size,) * plain.config.spatial_dims)).to(dtype)
    values = values.contiguous(memory_format=torch.channels_last if values.ndim == 4 else torch.channels_last_3d)
    with torch.inference_mode():
        expected, actual = plain(values).float(), other(values).float()
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    assert (expected - actual).abs().max() <= tolerance * expected.abs().max()


def test_other_precisions_stay_plain() -> None:
    _, network = pair(torch.float64)
    assert not fuse(network)
    assert not any(isinstance(module, FusedConvolution) for module in network.modules())


def test_without_the_operators_the_network_stays_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_operators", lambda: object())
    _, network = pair(torch.float32)
    assert not fuse(network)


def test_operators_that_fail_are_given_up_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def _reorder_convolution_weight(self, *arguments: object) -> torch.Tensor:
            raise RuntimeError("changed its arguments")

        def _convolution_pointwise(self, *arguments: object) -> torch.Tensor:
            raise RuntimeError("changed its arguments")

    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(fused, "_operators", Broken)
    _, network = pair(torch.float32)
    with pytest.warns(RuntimeWarning, match="fused convolutions are off, .* changed its arguments"):
        assert not fuse(network)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_tiles_are_seamless(dtype: torch.dtype) -> None:
    """Bitwise in both precisions where the arithmetic is native: labels cannot depend on the tile size."""
    _, network = pair(dtype, architecture="unetpp")
    fuse(network)
    values = torch.randn((1, 1, 160, 144)).to(dtype)
    with torch.inference_mode():
        whole = network(values).float()
        part = network(values[..., 32:128, 16:112].contiguous()).float()
    inner = (part[..., 24:-24, 24:-24] - whole[..., 56:104, 40:88]).abs().max()
    assert inner == 0 if cpu_has_bf16() or dtype == torch.float32 else inner < 0.05
