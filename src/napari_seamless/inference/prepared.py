"""Networks that stay ready between calls: a model that is used again need not be read, folded and laid out again.

Policy
------
* The last `MOST_KEPT` prepared networks are kept, by model, level, device, precision and which heads are wanted.
* A model is known by identity: another `Model` object, such as one with other weights, or one loaded again after its
  package changed, is prepared anew. A model whose `network` was built may have been changed in place: it is always
  prepared anew, and never kept.
* What is kept keeps no model alive, and goes when its model goes, when nothing has been prepared for `KEPT_SECONDS`,
  when a device runs out of memory, and on `forget_prepared()`.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from copy import copy

from napari_seamless.inference.predictor import Predictor
from napari_seamless.inference.transfer import Transfer
from napari_seamless.models.model import Model

MOST_KEPT = 2
KEPT_SECONDS = 120.0

_Key = tuple[int, int, str, str, bool, bool]

_kept: OrderedDict[_Key, tuple[weakref.ref[Model], Predictor]] = OrderedDict()
_lock = threading.Lock()
_used_at = 0.0
_timer: threading.Timer | None = None


def prepared_predictor(
    model: Model, *, level: int, device: str, precision: str, accurate: bool = False, keep_heads: bool = False
) -> Predictor:
    """Return a predictor, with the network of an earlier call if there is one that is still right.

    The network may be shared with other runs, the buffers for copies are the caller's own.

    Parameters
    ----------
    model, level, device, precision, accurate, keep_heads
        See `Predictor`.
    """
    if model.is_built:
        return Predictor(
            model, level=level, device=device, precision=precision, accurate=accurate, keep_heads=keep_heads
        )
    key = (id(model), level, device, precision, accurate, keep_heads)
    with _lock:
        known = _kept.get(key)
    if known is not None and known[0]() is model:
        predictor = copy(known[1])
        predictor.transfer = Transfer(predictor.device, predictor.dtype, predictor.memory_format)
    else:
        predictor = Predictor(
            model, level=level, device=device, precision=precision, accurate=accurate, keep_heads=keep_heads
        )
    _keep(key, weakref.ref(model, lambda _: _drop(key)), predictor)
    return predictor


def forget_prepared() -> None:
    """Let go of all networks that are kept; runs that are under way keep theirs."""
    with _lock:
        _kept.clear()


def _keep(key: _Key, model: weakref.ref[Model], predictor: Predictor) -> None:
    global _used_at
    with _lock:
        _kept[key] = (model, predictor)
        _kept.move_to_end(key)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
        _used_at = time.monotonic()
        _watch(KEPT_SECONDS)


def _drop(key: _Key) -> None:
    # Called by the garbage collector, maybe in a thread that holds the lock: one dictionary operation needs none.
    _kept.pop(key, None)


def _watch(seconds: float) -> None:
    """Look after some time whether the networks are still used; the lock is held."""
    global _timer
    if _timer is None:
        _timer = threading.Timer(seconds, _look)
        _timer.daemon = True
        _timer.start()


def _look() -> None:
    global _timer
    with _lock:
        _timer = None
        left = _used_at + KEPT_SECONDS - time.monotonic()
        if left <= 0:
            _kept.clear()
        elif _kept:
            _watch(left)
