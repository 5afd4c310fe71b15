"""Pinned and direct copies bring the same values, whatever the order of sizes."""

import numpy as np
import pytest
import torch

from napari_seamless.inference.transfer import Transfer


@pytest.mark.parametrize("pinned", [True, False, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_values_arrive_and_come_back(pinned: bool | None, dtype: torch.dtype) -> None:
    transfer = Transfer(torch.device("cpu"), dtype, torch.channels_last, pinned=pinned)
    results = []
    for sizes in ((2, 8, 6), (2, 16, 12), (2, 4, 4)):
        tile = np.random.default_rng(0).integers(0, 99, sizes).astype(np.float32)
        batch = transfer.to_device(tile)
        assert batch.shape == (1, *sizes)
        assert batch.dtype == dtype
        assert batch.is_contiguous(memory_format=torch.channels_last)
        results.append((tile, batch, transfer.to_host(batch + 1)[0]))
    for tile, batch, result in results:  # no later tile may have overwritten an earlier one
        assert np.array_equal(result, tile + 1)
        assert np.array_equal(batch[0].float().numpy(), tile)
        assert result.dtype == np.float32


def test_the_cpu_needs_no_pinned_memory() -> None:
    assert Transfer(torch.device("cpu"), torch.float32, torch.channels_last).pinned is False
