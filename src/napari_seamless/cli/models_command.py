"""``napari-seamless models``: which models there are, what they are, and whether they are seamless.

What changes the user's library is in `library_command`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_seamless.cli import library_command
from napari_seamless.cli.options import DeviceOption
from napari_seamless.cli.units import counted, sizes_text
from napari_seamless.errors import ModelError

if TYPE_CHECKING:
    from rich.table import Table

    from napari_seamless.models.model import Model
    from napari_seamless.training.examples import Example

models_app = typer.Typer(help="List, describe, verify, import and export models.", no_args_is_help=True)

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name or path.")]
VerifiedLevelOption = Annotated[
    int | None, typer.Option("--level", metavar="N", help="By default the one that auto takes.")
]
ScoredDataOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="DATASET",
        help="Annotated images to score in the fast precision and in float32: a folder with images/ and labels/, or a "
        "workspace; may be given several times. By default the pieces of images that the model remembers.",
    ),
]

FP32_ADVICE = "use --precision fp32 where it matters"

SHOWN = ("score", "iou", "dice", "ap50", "ap_mean")
"""Scores that are printed, of those a task has."""

DeletedOption = Annotated[bool, typer.Option("--deleted", help="List what is in the trash of your library.")]


@models_app.command("list")
def list_command(deleted: DeletedOption = False) -> None:
    """List the models that come with the package and your own."""
    _print_deleted() if deleted else _print_models()


def _print_deleted() -> None:
    from napari_seamless.workspace.own_models import own_models

    names = [entry.name for entry in own_models().entries(with_deleted=True) if entry.deleted]
    print("\n".join(names) if names else "There is no deleted model.")


def _print_models() -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from napari_seamless.models.library import default_model, library_folder, list_models

    table = Table("name", "from", "task", "dims", "description")
    summaries = list_models()
    for entry in summaries:
        dims = "" if entry.config is None else f"{entry.config.spatial_dims}D"
        origin = "the package" if entry.bundled else "you"
        table.add_row(escape(entry.name), origin, entry.task or "", dims, escape(entry.description))
    if summaries:
        Console().print(table)
    print(f"Where no model is named, {default_model()} is used. Your own models live in {library_folder()}")


@models_app.command("info")
def info(model: ModelArgument) -> None:
    """Show a model's card."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from napari_seamless.models.library import load_model

    loaded = load_model(model)
    table = Table(show_header=False, title=loaded.name, title_justify="left")
    for name, text in _card_rows(loaded):
        if text:
            table.add_row(name, escape(text))
    Console().print(table)
    if loaded.price_list:
        Console().print(_price_table(loaded))


@models_app.command("verify")
def verify(
    model: ModelArgument,
    data: ScoredDataOption = None,
    level: VerifiedLevelOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Compare a model's results under two tile grids and untiled, and in the fast precision and float32."""
    from napari_seamless.cli.training_data import read_training_data
    from napari_seamless.inference.selftest import TOLERANCE, seam_self_test
    from napari_seamless.models.library import load_model

    loaded = load_model(model)
    examples = read_training_data(data) if data else None
    report = seam_self_test(loaded, level=level, device=device)
    grids = " and of ".join(sizes_text(size) for size in report.tile_sizes)
    print(
        f"{sizes_text(report.shape)} pixels in tiles of {grids}, and untiled (level {report.level}, {report.device}):"
    )
    print(f"largest difference between class probabilities: {report.largest_difference:.2g}")
    if not report.seamless:
        raise ModelError(
            f"{model} is not seamless: its results under different tilings may differ by no more than {TOLERANCE:g} "
            f"but do by {report.largest_difference:.2g}; expect borders of tiles to show"
        )
    print(f"seamless: within rounding ({TOLERANCE:g})")
    _report_fidelity(loaded, level, device)
    _report_scores(loaded, examples, level, device)


def _report_fidelity(model: Model, level: int | None, device: str) -> None:
    """Print how far the precision that a run would take agrees with float32; no reason to fail: fp32 can be chosen."""
    from napari_seamless.inference.fidelity import LEAST_AGREEMENT, fidelity_test

    report = fidelity_test(model, level="auto" if level is None else level, device=device)
    print(f"{report.precision} against fp32: the same class for {report.agreement:.3%} of the pixels", end="")
    print("" if report.faithful else f", less than {LEAST_AGREEMENT:.1%}: {FP32_ADVICE}")


def _report_scores(model: Model, examples: list[Example] | None, level: int | None, device: str) -> None:
    """Print what the fast precision does to the scores on annotated images, or on the pieces the model remembers."""
    from napari_seamless.training.score_fidelity import LARGEST_CHANGE, remembered_for_judging, score_fidelity

    given = remembered_for_judging(model) if examples is None else examples
    if not given:
        print("no scores: the model remembers no annotated images; give some with --data")
        return
    report = score_fidelity(model, given, level=level, device=device)
    where = counted(report.n_places, "place") + (" that the model remembers" if examples is None else "")
    scores = ", ".join(
        f"{name} {report.fast[name]:.4f} ({change:+.4f})" for name, change in report.changes.items() if name in SHOWN
    )
    print(f"scores in {report.precision}, and how they differ from fp32, over {where}: {scores}")
    if not report.faithful:
        print(f"the score changes by {LARGEST_CHANGE:g} or more: {FP32_ADVICE}")


def _card_rows(model: Model) -> list[tuple[str, str]]:
    config, card = model.config, model.card
    voxels = "" if model.voxel_size_um is None else f"{sizes_text_um(model.voxel_size_um)} um"
    return [
        ("description", card.description),
        ("task", f"{model.task}: {', '.join(model.classes)}"),
        ("network", f"{config.architecture}, {config.spatial_dims}D, features {', '.join(map(str, config.features))}"),
        ("levels", _levels_text(model)),
        ("input", f"{model.input_kind}, {counted(config.in_channels, 'channel')}"),
        ("voxel size", voxels),
        ("fine-tuned from", model.parent or ""),
        ("remembers", f"{counted(model.n_examples, 'piece')} of training images" if model.n_examples else ""),
        ("trained on", "\n".join(card.training_data)),
        ("trained by", card.command),
        ("scores", ", ".join(f"{name} {value:.3f}" for name, value in card.scores.items())),
        ("notes", card.notes),
        ("created", card.created),
        ("licence", card.licence),
        ("citation", card.citation),
    ]


def _levels_text(model: Model) -> str:
    levels = ", ".join(map(str, model.config.levels))
    if len(model.config.levels) < 2:
        return levels
    known = "by its price list, below" if model.price_list else "the deepest: it has no price list"
    return f"{levels}; auto takes {model.auto_level} ({known})"


def _price_table(model: Model) -> Table:
    """What each level is worth and costs; the time does not hold the halo, which is shown beside it."""
    from rich.table import Table

    from napari_seamless.networks.geometry import geometry

    first = model.price_list[0]
    threads = f", {counted(first.threads, 'thread')}" if first.threads else ""
    where = f"{first.device} in {first.precision}{threads}"
    table = Table(title=f"What each level is worth and costs ({where})", title_justify="left")
    for heading in ("level", "score", "ms per megapixel", "halo", "parameters", "auto"):
        table.add_column(heading, justify="right")
    for price in model.price_list:
        halo = sizes_text(geometry(model.config, price.level).halo)
        taken = "taken" if price.level == model.auto_level else ""
        time, score = f"{price.ms_per_megapixel:,.0f}", f"{price.score:.4f}"
        table.add_row(str(price.level), score, time, halo, f"{price.parameters:,}", taken)
    return table


def sizes_text_um(sizes: tuple[float, ...]) -> str:
    """Return voxel sizes such as ``1.75 x 0.8 x 0.8``."""
    return " x ".join(f"{size:g}" for size in sizes)


models_app.command("export")(library_command.export)
models_app.command("import")(library_command.import_command)
models_app.command("rename")(library_command.rename)
models_app.command("delete")(library_command.delete)
models_app.command("undelete")(library_command.undelete)
models_app.command("default")(library_command.default)
