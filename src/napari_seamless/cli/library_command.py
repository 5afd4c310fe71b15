"""``napari-seamless models``: what can be done with the models of one's own library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_seamless.cli.options import OverwriteOption
from napari_seamless.errors import OutputExistsError

PackageArgument = Annotated[Path, typer.Argument(metavar="PATH", help="A model's folder or .zip file.")]
OwnModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The name of one of your own models.")]
NewNameOption = Annotated[str, typer.Option("--name", metavar="NAME", help="By default the one that the model has.")]
WithoutExamplesOption = Annotated[
    bool,
    typer.Option("--without-examples", help="Leave out the pieces of training images that the model remembers."),
]


def import_command(path: PackageArgument, name: NewNameOption = "") -> None:
    """Check a model and copy it into your library."""
    from napari_seamless.models.library import library_folder
    from napari_seamless.workspace.own_models import import_model

    try:
        entry = import_model(path, name)
    except OutputExistsError as error:
        raise OutputExistsError(f"{error} with --name") from error
    print(f"imported as {entry.name}: {library_folder() / entry.name}")


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name or path.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.zip", help="The file to give away; a folder without .zip.")],
    without_examples: WithoutExamplesOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a model as one file, for others or another machine."""
    from napari_seamless.cli.units import counted
    from napari_seamless.models.copying import copy_package
    from napari_seamless.models.library import find_model

    manifest = copy_package(find_model(model), out, with_examples=not without_examples, overwrite=overwrite)
    n_examples = 0 if manifest.examples is None else len(manifest.examples.patches)
    if n_examples:
        pieces = counted(n_examples, "piece")
        print(f"with {pieces} of training images, for fine-tuning; --without-examples leaves them out")
    print(f"model: {out}")


def rename(
    model: OwnModelArgument, new_name: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")]
) -> None:
    """Give one of your models another name."""
    from napari_seamless.workspace.own_models import rename_model

    rename_model(model, new_name)
    print(f"{model} is now called {new_name}")


def delete(model: OwnModelArgument) -> None:
    """Move one of your models to the trash of your library."""
    from napari_seamless.workspace.own_models import delete_model

    delete_model(model)
    print(f"{model} is deleted; `napari-seamless models undelete {model}` brings it back")


def undelete(model: OwnModelArgument) -> None:
    """Bring a deleted model back."""
    from napari_seamless.workspace.own_models import undelete_model

    undelete_model(model)
    print(f"{model} is back")


def default(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="What to use from now on; without it, say what is used.")
    ] = None,
) -> None:
    """Choose the model that is used where none is named: by --model and by the Segment panel."""
    from napari_seamless.models.library import default_model, set_default_model

    if model is not None:
        set_default_model(model)
    print(default_model())
