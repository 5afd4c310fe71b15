"""Errors as napari shows them."""

from __future__ import annotations

from napari.utils.notifications import notification_manager, show_error

from napari_seamless.errors import SeamlessError


def report(error: BaseException) -> None:
    """Show an error: its message alone when it was meant for the user, else with a traceback to look at."""
    if isinstance(error, SeamlessError):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)
