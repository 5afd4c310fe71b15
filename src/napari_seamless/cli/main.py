"""The command ``napari-seamless``: its subcommands and its exit codes.

Exit code 0: done; 1: failed, with one line on stderr that says why; 2: wrong usage; 130: interrupted. Everything heavy
(torch, zarr, dask) is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from napari_seamless import __version__
from napari_seamless.cli.demo import demo
from napari_seamless.cli.evaluate_command import evaluate
from napari_seamless.cli.finetune_command import finetune
from napari_seamless.cli.models_command import models_app
from napari_seamless.cli.plan_command import plan
from napari_seamless.cli.segment_command import segment
from napari_seamless.cli.train_command import train
from napari_seamless.errors import Cancelled, SeamlessError

DONE = 0
FAILED = 1
INTERRUPTED = 130

app = typer.Typer(
    name="napari-seamless",
    help="Segment microscopy images of any size with U-Net and UNet++, without seams.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(segment)
app.command()(plan)
app.command()(train)
app.command()(finetune)
app.command()(evaluate)
app.add_typer(models_app, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"napari-seamless {__version__}")
        raise typer.Exit


@app.callback()
def _options_of_all(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error. Works anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Options that every command shares; `main` takes ``--debug`` out of the arguments before they get here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those that the program was started with.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        app(args=[word for word in words if word != "--debug"], prog_name="napari-seamless")
    except SystemExit as end:
        return _code_of(end)
    except (Cancelled, KeyboardInterrupt) as error:
        return _fail(INTERRUPTED, str(error) or "interrupted", debug)
    except BrokenPipeError:
        # Whoever read our output has gone, as in `... | head`. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except SeamlessError as error:
        return _fail(FAILED, str(error), debug)
    except Exception as error:
        return _fail(FAILED, _unexpected(error, debug), debug)
    return DONE


def _code_of(end: SystemExit) -> int:
    if isinstance(end.code, int):
        return end.code
    return DONE if end.code is None else FAILED


def _unexpected(error: Exception, debug: bool) -> str:
    first_line = next(iter(str(error).splitlines()), "")
    hint = "" if debug else "; run it again with --debug to see where"
    return f"unexpected {type(error).__name__}: {first_line}{hint}"


def _fail(code: int, message: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    one_line = " ".join(message.split())
    print(f"napari-seamless: {one_line}", file=sys.stderr)
    return code
