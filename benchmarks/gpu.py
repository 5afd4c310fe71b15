"""One comparable table for a GPU: U-Net and UNet++ L1 to L4, this package against MONAI and the bare network.

    pip install napari-seamless monai
    python benchmarks/gpu.py                      # --device cuda:0 --size 4096 --turns 5

Contenders take turns, medians are shown; every contender ends with labels in the machine's memory, so that all work on
the device is over when its time is taken. Paste the output into an issue as it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "speed"))

import torch
from cases import CASES
from run import arguments, chosen_cases, measure

COLUMNS = ("MONAI, default", "MONAI, tuned", "nnU-Net", "ours, fp32", "ours", "bare network")


def _device_facts(device: str) -> str:
    if device.startswith("cuda"):
        found = torch.cuda.get_device_properties(device)
        return (
            f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}, torch {torch.__version__}"
        )
    return f"{device}, torch {torch.__version__}"


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    two_dimensional = ",".join(case.name for case in CASES if case.spatial_dims == 2)
    options = {"--device": asked.device, "--size": asked.size, "--turns": asked.turns, "--cases": two_dimensional}
    chosen = arguments([str(word) for pair in options.items() for word in pair])
    print(f"{_device_facts(chosen.device)}; {chosen.size} x {chosen.size} pixels, {chosen.turns} turns, Mpx/s\n")
    rows = []
    for case in chosen_cases(chosen):
        found = measure(case, chosen)
        rates = found["rate"]
        shown = [f"{rates[name]:.2f}" if name in rates else "not installed" for name in COLUMNS]
        rows.append([case.name, *shown, found["precision"]])
    print("\n| network | " + " | ".join(COLUMNS) + " | precision |\n|" + "---|" * (len(COLUMNS) + 2))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
