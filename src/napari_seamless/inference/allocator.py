"""Memory that stays warm: freed activation buffers are kept for the next layer instead of going back to the system.

A network's layers allocate and free tens of megabytes each. By default glibc asks the kernel for every such block and
gives it back at once, and the kernel clears each 4 KiB page again at first touch: `docs/performance.md` has what that
costs.

Policy
------
* While at least one run is under way (`warm_memory` counts them, over all threads), glibc is told to serve large
  blocks from the heap and to keep what is freed: ``M_MMAP_MAX = 0``, ``M_TRIM_THRESHOLD = infinite``.
* When the last run has ended, the parameters are set to where glibc's own self-adjustment ends in every process that
  ever freed a 32 MiB block (``M_MMAP_THRESHOLD`` 32 MiB, ``M_TRIM_THRESHOLD`` 64 MiB, ``M_MMAP_MAX`` 65536), and
  ``malloc_trim(0)`` gives everything that is free back to the system. A host process such as napari is left neither
  with our memory nor with slower allocations.
* With `linger`, that happens so many seconds after the last run instead, unless another one has begun: the viewer
  asks for it, where one click follows another.
* Nothing is touched where there is no glibc (macOS, Windows, musl), where the user tunes malloc through the
  environment (``MALLOC_...``, ``GLIBC_TUNABLES`` with ``glibc.malloc``), or with ``NAPARI_SEAMLESS_WARM_MEMORY=0``.

In threads with an arena of their own glibc maps blocks above 64 MiB all the same: there the effect is smaller, never
harmful.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Timer, current_thread
from typing import Any

SWITCH = "NAPARI_SEAMLESS_WARM_MEMORY"
"""Environment variable: ``0`` leaves the allocator alone."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # <malloc.h>
_KEEP_ALL = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))
_SETTLED = ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 64 << 20), (_MMAP_MAX, 65536))

_runs_under_way = 0
_lingering: Timer | None = None
_lock = Lock()


@contextmanager
def warm_memory(enabled: bool = True, *, linger: float = 0.0) -> Iterator[bool]:
    """Keep freed memory for the duration of a run; see the module's policy.

    May be nested and used from several threads at once: the last one out restores.

    Parameters
    ----------
    enabled : bool
        False does nothing.
    linger : float
        Seconds for which the last one out leaves everything as it is, for a run that may follow.

    Yields
    ------
    bool
        Whether the allocator keeps freed memory now.
    """
    if not (enabled and _may_tune()):
        yield False
        return
    _enter()
    try:
        yield True
    finally:
        _leave(linger)


def _enter() -> None:
    global _runs_under_way
    with _lock:
        _stop_lingering()
        _runs_under_way += 1
        if _runs_under_way == 1:
            _set(_KEEP_ALL)


def _leave(linger: float) -> None:
    global _runs_under_way, _lingering
    with _lock:
        _runs_under_way -= 1
        if _runs_under_way:
            return
        if linger <= 0:
            _restore()
            return
        _lingering = Timer(linger, _end_lingering)
        _lingering.daemon = True
        _lingering.start()


def _stop_lingering() -> None:
    global _lingering
    if _lingering is not None:
        _lingering.cancel()
        _lingering = None


def _end_lingering() -> None:
    global _lingering
    with _lock:
        if current_thread() is _lingering:  # not overtaken by another run while it waited for the lock
            _lingering = None
            _restore()


def _restore() -> None:
    _set(_SETTLED)
    _libc().malloc_trim(0)


def _set(parameters: tuple[tuple[int, int], ...]) -> None:
    libc = _libc()
    for parameter, value in parameters:
        libc.mallopt(parameter, value)


def _libc() -> Any:
    return ctypes.CDLL(None)


def _may_tune() -> bool:
    return has_glibc() and os.environ.get(SWITCH, "1") != "0" and not _is_tuned_by_the_user()


def has_glibc() -> bool:
    """Whether this process runs on the GNU C library."""
    names = getattr(os, "confstr_names", {})  # no such thing on Windows
    if "CS_GNU_LIBC_VERSION" not in names:
        return False
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION")
    except OSError:  # what musl answers
        return False
    return bool(version) and hasattr(_libc(), "mallopt") and hasattr(_libc(), "malloc_trim")


def _is_tuned_by_the_user() -> bool:
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return True
    return any(name.startswith("MALLOC_") and name.endswith("_") for name in os.environ)
