"""``napari-seamless evaluate``: how well predicted labels agree with the truth."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seamless.cli.events import plain
from napari_seamless.cli.options import JsonOption
from napari_seamless.errors import AxesError, DatasetError, FileReadError

if TYPE_CHECKING:
    from napari_seamless.images.image import Image
    from napari_seamless.metrics import Agreement

Scores = dict[str, Any]
COUNTS = ("n_predicted", "n_truth")
HEADINGS = {"ap_mean": "ap mean", "adapted_rand_error": "rand error", "n_predicted": "found", "n_truth": "true"}


def evaluate(
    predicted: Annotated[Path, typer.Argument(metavar="PREDICTED", help="A labels file, or a folder of them.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="A labels file, or a folder with the same names.")],
    as_json: JsonOption = False,
) -> None:
    """Compare predicted labels with the truth: IoU, Dice, AP at IoU, adapted Rand error."""
    if _is_collection(predicted) and _is_collection(truth):
        _evaluate_folders(predicted, truth, as_json)
    else:
        pair = Pair(predicted.name, _open(predicted), _open(truth))
        pair.check()
        _show_scores(plain(pair.compare().scores), as_json)


@dataclass(frozen=True)
class Pair:
    """Labels of one image and their truth; nothing has been read but what the files say about themselves."""

    name: str
    predicted: Image
    truth: Image

    def check(self) -> None:
        """Refuse what could not be compared."""
        for role, labels in (("predicted", self.predicted), ("true", self.truth)):
            if labels.dtype.kind not in "bui":
                raise DatasetError(
                    f"{self.name}: labels are whole numbers, but the {role} labels {labels.path} are {labels.dtype}: "
                    "save them as uint16 or uint32"
                )
        if self.predicted.shape != self.truth.shape:
            raise AxesError(
                f"{self.name}: predicted and true labels must have one shape, not {self.predicted.shape} "
                f"({self.predicted.axes}) and {self.truth.shape} ({self.truth.axes}): crop both to what they share"
            )

    def compare(self) -> Agreement:
        """Read and compare both."""
        import numpy as np

        from napari_seamless import metrics

        return metrics.compare(np.asarray(self.predicted.data), np.asarray(self.truth.data))


def _evaluate_folders(predicted: Path, truth: Path, as_json: bool) -> None:
    from napari_seamless.metrics import pooled_precisions

    found, wanted = _by_name(predicted), _by_name(truth)
    _check_partners(found, wanted, predicted, truth)
    pairs = [Pair(name, _open(found[name]), _open(path)) for name, path in wanted.items()]
    for pair in pairs:
        pair.check()
    agreements = {pair.name: pair.compare() for pair in pairs}
    files = {name: plain(agreement.scores) for name, agreement in agreements.items()}
    pooled = plain(pooled_precisions(list(agreements.values())))
    _show_files(files, _overall(list(files.values())), pooled, as_json)
    left_out = sorted(found.keys() - wanted.keys())
    if left_out:
        print(f"left out, as {truth} has no truth for it: {', '.join(left_out)}", file=sys.stderr)


def _show_scores(scores: Scores, as_json: bool) -> None:
    if as_json:
        print(json.dumps(scores, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    for name, value in scores.items():
        table.add_row(name.replace("_", " "), _cell(value))
    Console().print(table)


def _show_files(files: dict[str, Scores], overall: Scores, pooled: Scores, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"files": files, "all": overall, "pooled": pooled}, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("labels")
    for column in overall:
        table.add_column(HEADINGS.get(column, column), justify="right")
    for name, scores in files.items():
        table.add_row(escape(name), *(_cell(scores[column]) for column in overall))
    table.add_section()
    table.add_row("mean", *(_cell(overall[column]) for column in overall))
    table.add_row("pooled", *(_cell(pooled[column]) if column in pooled else "" for column in overall))
    Console().print(table)


def _open(path: Path) -> Image:
    from napari_seamless.images.read import open_image

    return open_image(path)


def _is_collection(path: Path) -> bool:
    return path.is_dir() and path.suffix != ".zarr"


def _check_partners(found: dict[str, Path], wanted: dict[str, Path], predicted: Path, truth: Path) -> None:
    if not wanted:
        raise FileReadError(f"{truth} holds no labels file: give a folder of images, or a single file")
    lacking = sorted(wanted.keys() - found.keys())
    if lacking:
        raise FileReadError(
            f"every labels file of {truth} needs one of the same name in {predicted}, which lacks {len(lacking)}, "
            f"the first is {lacking[0]!r}: segment that image too, or take its truth out"
        )


def _by_name(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder, by name without the ending."""
    from napari_seamless.images.read import readable_endings

    named: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = next((ending for ending in readable_endings if path.name.lower().endswith(ending)), None)
        if ending is None or path.name.startswith("."):
            continue
        name = path.name[: -len(ending)].removesuffix(".ome")
        if name in named:
            raise FileReadError(
                f"{folder} holds two labels files called {name!r}, {named[name].name} and {path.name}: take one out"
            )
        named[name] = path
    return named


def _overall(scores: list[Scores]) -> Scores:
    """Mean of each score over the files that have it, and the sum of each count."""
    result: Scores = {}
    for name in scores[0]:
        known = [entry[name] for entry in scores if entry[name] is not None]
        total = sum(known)
        result[name] = total if name in COUNTS else total / len(known) if known else None
    return result


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
