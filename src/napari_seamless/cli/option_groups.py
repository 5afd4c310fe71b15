"""Options that reach a command as one dictionary, so that a command with fifty of them stays readable."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from typing import Any


@dataclass(frozen=True)
class OptionGroup:
    """Some options of a command.

    Attributes
    ----------
    name : str
        The command's keyword for all of them.
    options : mapping of str to type
        For each key of the dictionary an ``Annotated`` type with a `typer.Option`.
    defaults : mapping of str to object
        By the same keys.
    """

    name: str
    options: Mapping[str, Any]
    defaults: Mapping[str, Any]

    def parameters(self) -> list[inspect.Parameter]:
        """Return what the command line sees: one parameter an option."""
        return [
            inspect.Parameter(
                self._parameter_name(key),
                inspect.Parameter.KEYWORD_ONLY,
                default=self.defaults[key],
                annotation=annotation,
            )
            for key, annotation in self.options.items()
        ]

    def taken_from(self, values: dict[str, Any]) -> dict[str, Any]:
        """Take this group's values out of all of a command's values."""
        return {key: values.pop(self._parameter_name(key)) for key in self.options}

    def changed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those values that are not the defaults."""
        return {key: value for key, value in values.items() if value != self.defaults[key]}

    def _parameter_name(self, key: str) -> str:
        return f"{self.name}_{key}"


def takes(*groups: OptionGroup) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, for each group, one keyword with a dictionary of the group's options.

    typer is shown the options one by one.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        names = {group.name for group in groups}
        own = [parameter for name, parameter in signature.parameters.items() if name not in names]
        shown = [*own, *(parameter for group in groups for parameter in group.parameters())]

        @wraps(command)
        def gathered(**values: Any) -> None:
            command(**{group.name: group.taken_from(values) for group in groups}, **values)

        del gathered.__wrapped__  # it would show typer the command as it was written
        gathered.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shown]
        )
        gathered.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
        return gathered

    return decorate


def defaults_of(options: type, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the default of every field of a dataclass, but for those named."""
    found = {}
    for entry in fields(options):
        if entry.name not in without:
            found[entry.name] = entry.default if entry.default_factory is MISSING else entry.default_factory()
    return found
