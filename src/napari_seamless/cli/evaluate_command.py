"""``napari-seamless evaluate``: how well predicted labels agree with the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seamless.cli.events import plain
from napari_seamless.cli.options import JsonOption
from napari_seamless.errors import FileReadError

if TYPE_CHECKING:
    import numpy as np

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
        files = {name: _scores(*paths) for name, paths in _pairs(predicted, truth).items()}
        _show_files(files, _overall(list(files.values())), as_json)
    else:
        _show_scores(_scores(predicted, truth), as_json)


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


def _show_files(files: dict[str, Scores], overall: Scores, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"files": files, "all": overall}, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("labels")
    for column in overall:
        table.add_column(HEADINGS.get(column, column), justify="right")
    for name, scores in {**files, "all": overall}.items():
        table.add_row(escape(name), *(_cell(scores[column]) for column in overall))
    Console().print(table)


def _scores(predicted: Path, truth: Path) -> Scores:
    from napari_seamless import metrics

    result: Scores = plain(metrics.evaluate(_read(predicted), _read(truth)))
    return result


def _read(path: Path) -> np.ndarray[Any, Any]:
    import numpy as np

    from napari_seamless.images.read import open_image

    return np.asarray(open_image(path).data)


def _is_collection(path: Path) -> bool:
    return path.is_dir() and path.suffix != ".zarr"


def _pairs(predicted: Path, truth: Path) -> dict[str, tuple[Path, Path]]:
    """Pair the files of two folders by name, whatever their endings."""
    found, wanted = _by_name(predicted), _by_name(truth)
    lacking = sorted(wanted.keys() - found.keys())
    if lacking:
        raise FileReadError(
            f"every labels file of {truth} needs one of the same name in {predicted}, which lacks {len(lacking)}, "
            f"the first is {lacking[0]!r}: segment that image too, or take its truth out"
        )
    if not wanted:
        raise FileReadError(f"{truth} holds no labels file: give a folder of images, or a single file")
    return {name: (found[name], wanted[name]) for name in sorted(wanted)}


def _by_name(folder: Path) -> dict[str, Path]:
    from napari_seamless.images.read import readable_endings

    named = {}
    for path in sorted(folder.iterdir()):
        ending = next((ending for ending in readable_endings if path.name.lower().endswith(ending)), None)
        if ending is not None:
            named[path.name[: -len(ending)].removesuffix(".ome")] = path
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
