"""The recipe of the best known UNet++ repository, beside ours, for the same time on the same images.

    python benchmarks/accuracy/reference_recipe.py dsb2018_fluo --seconds 600 --seeds 0

The reference is what 4uiiurz1/pytorch-nested-unet publishes: every image resized to 96 x 96, UNet++ 32..512 with batch
norm and bilinear up-sampling with ``align_corners=True``, loss 0.5 BCE + Dice, SGD 1e-3 with momentum 0.9 and weight
decay 1e-4, a cosine to 1e-5, batches of 16, random quarter turns, flips, hue, saturation, brightness and contrast. It
is written here from that description; its 100 epochs are cut to the time given (the cosine with them), and its mask is
resized back to the image. Ours is `napari_seamless.train` with its defaults, on the task "semantic". Both are scored
on the images of held-out groups at their own resolution: IoU of the foreground, the mean over images.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from skimage.transform import resize
from torch import Tensor, nn
from torch.nn import functional

import napari_seamless as ns
from napari_seamless.training.dataset import open_dataset
from napari_seamless.training.options import TrainingOptions
from napari_seamless.training.split import split_by_group

SIDE = 96
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path, default=None, help="append each row to this file")
    options = parser.parse_args()
    examples = [as_mask(example) for example in open_dataset(options.dataset)]
    for seed in options.seeds:
        training, test = split_by_group(examples, 0.2, seed)
        for name, method in (("ours", ours), ("reference", reference)):
            predict, steps = method(training, options.seconds, seed)
            ious = [iou(predict(example), np.asarray(example.labels) > 0) for example in test]
            row = {"method": name, "seed": seed, "seconds": options.seconds, "steps": steps, "n_test": len(test)}
            line = json.dumps({**row, "iou": round(float(np.mean(ious)), 4)})
            print(line, flush=True)
            if options.json is not None:
                with options.json.open("a") as file:
                    file.write(line + "\n")


def as_mask(example: ns.Example) -> ns.Example:
    labels = (np.asarray(example.labels) > 0).astype(np.uint8)
    return ns.Example(example.image, labels, name=example.name, group=example.group, dataset=example.dataset)


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    union = np.sum(found | truth)
    return float(np.sum(found & truth) / union) if union else 1.0


def ours(training, seconds, seed):
    options = TrainingOptions(seconds=seconds, seed=seed)
    result = ns.train(training, options, task="semantic", classes=("background", "nucleus"), price=False)
    return lambda example: np.asarray(ns.segment(example.image, result.model)) > 0, result.history[-1]["step"]


def reference(training, seconds, seed):
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pixels = torch.from_numpy(np.stack([resized(np.asarray(one.image.data)) for one in training]))
    masks = torch.from_numpy(np.stack([resized(np.asarray(one.labels) > 0) > 0.5 for one in training]).astype("f4"))
    network = NestedUNet().train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    began, steps = time.perf_counter(), 0
    while (used := (time.perf_counter() - began) / seconds) < 1:
        optimiser.param_groups[0]["lr"] = 1e-5 + (1e-3 - 1e-5) * 0.5 * (1 + math.cos(math.pi * used))
        chosen = random.choice(len(pixels), BATCH, replace=False)
        image, mask = varied(pixels[chosen], masks[chosen], random)
        loss = bce_dice(network(image), mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps += 1
    network.eval()

    @torch.no_grad()
    def predict(example):
        image = np.asarray(example.image.data)
        logits = network(torch.from_numpy(resized(image))[None])[0, 0]
        return resize(torch.sigmoid(logits).numpy(), image.shape, order=1) > 0.5

    return predict, steps


def resized(image: np.ndarray) -> np.ndarray:
    """Return (3, 96, 96) of a grey image, (96, 96) of a mask; intensities as the reference scales them: by 255."""
    small = resize(image.astype(np.float32), (SIDE, SIDE), order=1, anti_aliasing=False).astype(np.float32)
    if image.dtype == np.bool_:
        return small
    return np.repeat((small / (255 if image.dtype == np.uint8 else 65535))[None] * 2 - 1, 3, axis=0)


def varied(image: Tensor, mask: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    turns = int(random.integers(4))
    image, mask = torch.rot90(image, turns, (2, 3)), torch.rot90(mask, turns, (1, 2))
    for axis in (1, 2):
        if random.random() < 0.5:
            image, mask = image.flip(axis + 1), mask.flip(axis)
    if random.random() < 0.5:
        image = image * float(random.uniform(0.8, 1.2)) + float(random.uniform(-0.2, 0.2))
    return image.contiguous(), mask.contiguous()


def bce_dice(logits: Tensor, mask: Tensor) -> Tensor:
    logits = logits[:, 0]
    probabilities = torch.sigmoid(logits).flatten(1)
    truth = mask.flatten(1)
    dice = (2 * (probabilities * truth).sum(1) + 1e-5) / (probabilities.sum(1) + truth.sum(1) + 1e-5)
    return 0.5 * functional.binary_cross_entropy_with_logits(logits, mask) + 1 - dice.mean()


class Block(nn.Sequential):
    def __init__(self, n_in: int, n_out: int) -> None:
        layers = []
        for channels in (n_in, n_out):
            layers += [nn.Conv2d(channels, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class NestedUNet(nn.Module):
    """UNet++ 32..512 with one output, without deep supervision: the repository's default."""

    def __init__(self, features: tuple[int, ...] = (32, 64, 128, 256, 512)) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict()
        for level, width in enumerate(features):
            self.blocks[f"{level}-0"] = Block(3 if level == 0 else features[level - 1], width)
            for column in range(1, len(features) - level):
                self.blocks[f"{level}-{column}"] = Block(width * column + features[level + 1], width)
        self.depth = len(features)
        self.final = nn.Conv2d(features[0], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        values: dict[tuple[int, int], Tensor] = {}
        for total in range(self.depth):
            values[total, 0] = self.blocks[f"{total}-0"](
                image if total == 0 else functional.max_pool2d(values[total - 1, 0], 2)
            )
            for column in range(1, total + 1):
                level = total - column
                up = functional.interpolate(
                    values[level + 1, column - 1], scale_factor=2, mode="bilinear", align_corners=True
                )
                skips = [values[level, before] for before in range(column)]
                values[level, column] = self.blocks[f"{level}-{column}"](torch.cat([*skips, up], 1))
        return self.final(values[0, self.depth - 1])


if __name__ == "__main__":
    main()
