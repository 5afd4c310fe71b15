"""Every model there is, where it comes from, and its card as a page. For worker threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_seamless.viewer.finetune.progress import score_name
from napari_seamless.viewer.model_choice import description_of

if TYPE_CHECKING:
    from napari_seamless.models.library import ModelSummary
    from napari_seamless.models.manifest import Manifest
    from napari_seamless.workspace.lineage import Lineage, LineageEntry

Place = Literal["bundled", "own", "workspace"]


@dataclass(frozen=True)
class ModelRow:
    """One line of the list of models.

    Attributes
    ----------
    name : str
    path : pathlib.Path
        The package; that of a deleted model does not exist.
    place : {"bundled", "own", "workspace"}
    folder : pathlib.Path
        Where it lies: the package's own models, the library, or a workspace's ``models/``.
    deleted, is_default, is_current : bool
        Whether it lies in the trash; is used where no model is named; is in use in its workspace.
    card : str
        Its page, as HTML.
    """

    name: str
    path: Path
    place: Place
    folder: Path
    deleted: bool = False
    is_default: bool = False
    is_current: bool = False
    card: str = field(default="", repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other one."""
        return str(self.folder), self.name

    @property
    def text(self) -> str:
        """What the list shows."""
        marks = [
            *(["default"] if self.is_default else []),
            *(["in use"] if self.is_current else []),
            *(["deleted"] if self.deleted else []),
        ]
        return f"{self.name}  ({', '.join(marks)})" if marks else self.name


def all_models(workspaces: Iterable[Path]) -> list[ModelRow]:
    """Return the models that come with the package, the user's, and those adopted in these workspaces.

    Raises
    ------
    SeamlessError
        If the library's or a workspace's own notes about its models are damaged.
    """
    from napari_seamless.models.library import default_model, list_models
    from napari_seamless.workspace.lineage import Lineage
    from napari_seamless.workspace.own_models import own_models

    default, library = default_model(), own_models()
    entries = {entry.name: entry for entry in library.entries(with_deleted=True)}
    rows = []
    for model in list_models():
        entry = None if model.bundled else entries.get(model.name)
        card = _card(model, entry, library)
        place: Place = "bundled" if model.bundled else "own"
        rows.append(
            ModelRow(model.name, model.path, place, model.path.parent, is_default=model.name == default, card=card)
        )
    rows += _deleted(library, "own")
    for folder in workspaces:
        rows += _adopted(Lineage(folder / "models"))
    return rows


def _adopted(lineage: Lineage) -> list[ModelRow]:
    from napari_seamless.models.library import summarise_model

    current = lineage.current
    rows = []
    for entry in reversed(lineage.entries()):
        path = lineage.folder / entry.name
        card = _card(summarise_model(path), entry, lineage)
        is_current = entry.name == current
        rows.append(ModelRow(entry.name, path, "workspace", lineage.folder, is_current=is_current, card=card))
    return rows + _deleted(lineage, "workspace")


def _deleted(lineage: Lineage, place: Place) -> list[ModelRow]:
    page = "<p>Deleted. 'Bring back' restores it.</p>"
    return [
        ModelRow(entry.name, lineage.folder / entry.name, place, lineage.folder, deleted=True, card=page)
        for entry in lineage.entries(with_deleted=True)
        if entry.deleted
    ]


def _card(model: ModelSummary, entry: LineageEntry | None, lineage: Lineage) -> str:
    """Return a model's page: what it is for, what it learned from, how good it is, what its levels cost."""
    from napari_seamless.models.manifest import read_manifest

    heading = f"<h3>{escape(model.name)}</h3><p>{escape(description_of(model))}</p>"
    if not model.usable or model.config is None:
        return heading
    manifest = read_manifest(model.path)
    card = manifest.card
    facts = {
        "Scores": _scores(card.scores),
        "Learned from": ", ".join(card.training_data),
        "Fine-tuned from": " ← ".join(_ancestors(manifest, entry, lineage)),
        "On corrections": "; ".join(entry.trained_on) if entry is not None else "",
        "Verdict": entry.verdict if entry is not None else "",
        "Adopted": entry.adopted[:10] if entry is not None else "",
        "Input": _input(manifest),
        "Classes": ", ".join(manifest.classes) if manifest.task == "semantic" else "",
        "Voxel size": _voxel_size(manifest),
        "Remembers": f"{model.n_examples} pieces of training images" if model.n_examples else "",
        "Licence": card.licence,
        "Cite": card.citation,
        "Created": card.created,
        "Notes": card.notes,
    }
    rows = "".join(
        f"<tr><td><b>{name}</b>&nbsp;&nbsp;</td><td>{escape(text)}</td></tr>" for name, text in facts.items() if text
    )
    return f"{heading}<table>{rows}</table>{_prices(model)}"


def _ancestors(manifest: Manifest, entry: LineageEntry | None, lineage: Lineage) -> list[str]:
    if entry is None:
        return [manifest.parent] if manifest.parent else []
    known = [each.name for each in lineage.ancestors(entry.name)]
    oldest = lineage.ancestors(entry.name)[-1] if known else entry
    return [*known, oldest.parent] if oldest.parent and oldest.parent not in known else known


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{score_name(name)} {value:.3f}" for name, value in scores.items() if name != "score")


def _input(manifest: Manifest) -> str:
    kinds = {"grey": "one channel; colours become grey", "colour": "RGB", "channels": "all channels"}
    return kinds[manifest.input_kind]


def _voxel_size(manifest: Manifest) -> str:
    sizes = manifest.voxel_size_um
    return "" if sizes is None else " × ".join(f"{size:g}" for size in sizes) + " µm"


def _prices(model: ModelSummary) -> str:
    """Return the table of what each level of a UNet++ costs and is worth."""
    if not model.price_list:
        return ""
    heads = "".join(f"<th align='right'>&nbsp;&nbsp;{text}</th>" for text in ("level", "score", "ms per megapixel"))
    rows = "".join(
        f"<tr><td align='right'>{price.level}{'  (auto)' if price.level == model.auto_level else ''}</td>"
        f"<td align='right'>{price.score:.3f}</td><td align='right'>{price.ms_per_megapixel:,.0f}</td></tr>"
        for price in model.price_list
    )
    first = model.price_list[0]
    return f"<p><b>What its levels cost</b> ({escape(first.device)})</p><table><tr>{heads}</tr>{rows}</table>"
