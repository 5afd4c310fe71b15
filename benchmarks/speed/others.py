"""Other people's tiled prediction of the same network, with what each gives by default; only MONAI must be there.

All cut windows of 512 x 512 (96 x 96 x 96 in 3D) that overlap by a quarter, nnU-Net by its own half. None gives the
result of the whole image: their windows do not see as much context as the network does.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from cases import LAST, Case, Contender, normalised
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor, nn

OVERLAP = 0.25
WINDOWS_AT_ONCE = 4
WINDOW = {2: 512, 3: 96}


def others(case: Case, image: NDArray[Any], device: str) -> dict[str, Contender | str]:
    """Return other people's ways to get labels of `image`, by name, or why one is missing."""
    pixels = normalised(case, image)
    window = tuple(min(WINDOW[case.spatial_dims], length) for length in image.shape)
    optional = {"tiler loop": _tiler, "bioimageio.core": _bioimageio, "nnU-Net": _nnunet}
    found: dict[str, Contender | str] = {
        "MONAI, default": _monai(case, pixels, device, window),
        "MONAI, tuned": _monai_tuned(case, pixels, device, window),
    }
    for name, make in optional.items():
        found[name] = _if_it_works(make, case, pixels, device, window)
    return found


Make = Callable[[Case, NDArray[np.float32], str, tuple[int, ...]], Contender]


def _if_it_works(
    make: Make, case: Case, image: NDArray[np.float32], device: str, window: tuple[int, ...]
) -> Contender | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(case, image, device, window)
    except ModuleNotFoundError as error:
        return f"not installed (no module {error.name})"
    except Exception as error:  # nothing that others' packages raise shall end our measurement; it is shown instead
        return f"does not work here ({type(error).__name__})"


def _labels(logits: Tensor) -> NDArray[np.uint8]:
    """Return classes, over the image's axes, of logits, (1, C, *spatial)."""
    labels: NDArray[np.uint8] = logits.float().argmax(1)[0].to("cpu", torch.uint8).numpy()
    return labels


def _slide(network: nn.Module, image: Tensor, window: tuple[int, ...]) -> NDArray[np.uint8]:
    with torch.inference_mode():
        return _labels(sliding_window_inference(image, window, WINDOWS_AT_ONCE, network, overlap=OVERLAP))


def _monai(case: Case, image: NDArray[np.float32], device: str, window: tuple[int, ...]) -> Contender:
    """`sliding_window_inference` as its documentation shows it."""
    network, batch = case.network(device), torch.from_numpy(image)[None, None]
    return lambda: _slide(network, batch.to(device), window)


def _monai_tuned(case: Case, image: NDArray[np.float32], device: str, window: tuple[int, ...]) -> Contender:
    """The same under bf16 autocast and with channels-last memory."""
    last = LAST[case.spatial_dims]
    network, batch = case.network(device).to(memory_format=last), torch.from_numpy(image)[None, None]

    def run() -> NDArray[np.uint8]:
        with torch.autocast(device.split(":")[0], dtype=torch.bfloat16):
            return _slide(network, batch.to(device).contiguous(memory_format=last), window)

    return run


def _tiler(case: Case, image: NDArray[np.float32], device: str, window: tuple[int, ...]) -> Contender:
    """The loop that people write: mirror-padded windows in float32, of which the middle is kept."""
    from tiler import Merger, Tiler

    network = case.network(device)

    def run() -> NDArray[np.uint8]:
        overlap = tuple(int(length * OVERLAP) for length in window)
        tiles = Tiler(image.shape, window, overlap=overlap, mode="reflect")
        shape, padding = tiles.calculate_padding()
        tiles.recalculate(data_shape=shape)
        merger = Merger(tiles, window="overlap-tile", logits=2, save_visits=False)
        with torch.inference_mode():
            for index, tile in tiles(np.pad(image, padding, mode="reflect")):
                logits = network(torch.from_numpy(np.ascontiguousarray(tile))[None, None].to(device))
                merger.add(index, logits[0].cpu().numpy())
        labels: NDArray[np.uint8] = merger.merge(extra_padding=padding, argmax=True, dtype=np.uint8)
        return labels

    return run


def _nnunet(case: Case, image: NDArray[np.float32], device: str, window: tuple[int, ...]) -> Contender:
    """`nnUNetPredictor` with our network: half-overlapping windows under a Gaussian, no mirrored copies."""
    with contextlib.redirect_stdout(io.StringIO()):  # it complains about folders of its own that are not set
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(use_mirroring=False, device=torch.device(device), allow_tqdm=False)
    predictor.network = case.network(device)
    predictor.configuration_manager = SimpleNamespace(patch_size=window)
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=2)
    # It takes (C, Z, Y, X), and runs a 2D network plane by plane.
    volume = torch.from_numpy(image)[(None,) * (4 - case.spatial_dims)]

    def run() -> NDArray[np.uint8]:
        labels = _labels(predictor.predict_sliding_window_return_logits(volume)[None])
        return labels.reshape(image.shape)

    return run


def _bioimageio(case: Case, image: NDArray[np.float32], device: str, window: tuple[int, ...]) -> Contender:
    """Block-wise prediction of a model package made here: TorchScript weights, blocks with a halo."""
    from bioimageio.core import Sample, Tensor, create_prediction_pipeline
    from bioimageio.core.axis import AxisId
    from bioimageio.core.common import MemberId
    from loguru import logger

    logger.disable("bioimageio")
    with tempfile.TemporaryDirectory() as folder:
        description = _bioimageio_model(case, window, Path(folder))
        pipeline = create_prediction_pipeline(description, devices=[device], weight_format="torchscript")
        pipeline.load()
    block = dict(zip(("batch", "channel", *case.axes.lower()), (1, 1, *window), strict=True))
    shape = {MemberId("image"): {AxisId(axis): length for axis, length in block.items()}}

    def run() -> NDArray[np.uint8]:
        pixels = Tensor.from_numpy(image[None, None], dims=tuple(map(AxisId, block)))
        sample = Sample(members={MemberId("image"): pixels}, stat={}, id="image")
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            found = pipeline.predict_sample_with_fixed_blocking(sample, input_block_shape=shape)
        logits = np.asarray(found.members[MemberId("logits")].data)
        return _labels(torch.from_numpy(logits))

    return run


def _bioimageio_model(case: Case, window: tuple[int, ...], folder: Path) -> Any:
    """Return the description of a model whose weights are written into `folder`."""
    from bioimageio.spec import ValidationContext
    from bioimageio.spec.model import v0_5

    sizes = {"image": (1, 1, *window), "logits": (1, 2, *window)}
    with torch.inference_mode():
        torch.jit.trace(case.network("cpu"), torch.zeros(sizes["image"])).save(str(folder / "weights.pt"))
    for name, shape in sizes.items():
        np.save(folder / f"{name}.npy", np.zeros(shape, np.float32))
    (folder / "README.md").write_text("# A model for a benchmark\n")
    halo, side = int(min(window) * OVERLAP) // 2, v0_5.ParameterizedSize(min=min(window), step=2**case.level)
    inner = [v0_5.SpaceInputAxis(id=axis, size=side) for axis in case.axes.lower()]
    outer = [
        v0_5.SpaceOutputAxisWithHalo(id=axis, halo=halo, size=v0_5.SizeReference(tensor_id="image", axis_id=axis))
        for axis in case.axes.lower()
    ]
    with ValidationContext(perform_io_checks=False):
        tested = {name: v0_5.FileDescr(source=folder / f"{name}.npy") for name in sizes}
        return v0_5.ModelDescr(
            name="benchmark",
            description="The network of a benchmark",
            authors=[v0_5.Author(name="napari-seamless developers")],
            cite=[v0_5.CiteEntry(text="none", url="https://example.org")],
            license="BSD-3-Clause",
            documentation=v0_5.FileDescr(source=folder / "README.md"),
            inputs=[
                v0_5.InputTensorDescr(
                    id="image",
                    axes=[v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=["grey"]), *inner],
                    test_tensor=tested["image"],
                )
            ],
            outputs=[
                v0_5.OutputTensorDescr(
                    id="logits",
                    axes=[v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=["background", "cell"]), *outer],
                    test_tensor=tested["logits"],
                )
            ],
            weights=v0_5.WeightsDescr(
                torchscript=v0_5.TorchscriptWeightsDescr(
                    source=folder / "weights.pt", pytorch_version=torch.__version__.split("+")[0]
                )
            ),
        )
