"""What a person names to learn from: data sets, and workspaces of napari."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_seamless.training.examples import Example


def read_training_data(paths: Sequence[Path], ignore: int | None = None) -> list[Example]:
    """Return the examples of data sets and workspaces.

    Parameters
    ----------
    paths : sequence of Path
        Folders with ``images/`` and ``labels/``, or workspaces.
    ignore : int, optional
        Label that means "not annotated" in the data sets.

    Raises
    ------
    DatasetError, WorkspaceError
    """
    from napari_seamless.training.dataset import open_datasets
    from napari_seamless.workspace.training_examples import is_workspace, workspace_examples

    workspaces = [path for path in paths if is_workspace(path)]
    datasets = [path for path in paths if path not in workspaces]
    examples = [example for folder in workspaces for example in workspace_examples(folder)]
    if datasets or not workspaces:
        examples += open_datasets(datasets, ignore)
    return examples
