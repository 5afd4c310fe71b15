"""The allocator is tuned while runs are under way, by whoever was first, and restored by whoever is last."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from known_models import threshold_model

from napari_seamless.inference import allocator
from napari_seamless.inference.allocator import SWITCH, has_glibc, warm_memory
from napari_seamless.inference.predictor import Prediction, Predictor
from napari_seamless.inference.run import predict_probabilities, segment


class Recorder:
    """A C library that remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def mallopt(self, parameter: int, value: int) -> int:
        self.calls.append((parameter, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.calls.append((pad,))
        return 1


KEEP = [(-4, 0), (-1, -1)]
RESTORE = [(-3, 32 << 20), (-1, 64 << 20), (-4, 65536), (0,)]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name in (SWITCH, "GLIBC_TUNABLES")]:
        monkeypatch.delenv(name)
    recorder = Recorder()
    monkeypatch.setattr(allocator, "_libc", lambda: recorder)
    monkeypatch.setattr(allocator, "has_glibc", lambda: True)
    return recorder


def test_memory_is_kept_for_the_run_and_given_back_after(library: Recorder) -> None:
    with warm_memory() as is_warm:
        assert is_warm
        assert library.calls == KEEP
    assert library.calls == KEEP + RESTORE


def test_a_failed_run_restores_too(library: Recorder) -> None:
    with pytest.raises(ZeroDivisionError), warm_memory():
        raise ZeroDivisionError
    assert library.calls == KEEP + RESTORE


def test_only_the_first_in_sets_and_the_last_out_restores(library: Recorder) -> None:
    inside, leave = threading.Event(), threading.Event()

    def other_run() -> None:
        with warm_memory():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other_run)
    with warm_memory():
        thread.start()
        assert inside.wait(10)
    assert library.calls == KEEP
    leave.set()
    thread.join()
    assert library.calls == KEEP + RESTORE


@pytest.mark.parametrize(
    ("name", "value"),
    [(SWITCH, "0"), ("MALLOC_MMAP_MAX_", "10"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1")],
)
def test_the_user_decides(library: Recorder, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with warm_memory() as is_warm:
        assert not is_warm
    assert library.calls == []


def test_it_can_be_turned_off_by_the_caller(library: Recorder) -> None:
    with warm_memory(enabled=False) as is_warm:
        assert not is_warm
    assert library.calls == []


def test_nothing_is_touched_without_glibc(library: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "has_glibc", lambda: False)
    with warm_memory() as is_warm:
        assert not is_warm
    assert library.calls == []


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        pytest.param({}, None, id="Windows and macOS"),
        pytest.param({"CS_GNU_LIBC_VERSION": 2}, OSError(22, "Invalid argument"), id="musl"),
        pytest.param({"CS_GNU_LIBC_VERSION": 2}, "", id="no answer"),
    ],
)
def test_other_c_libraries_are_recognised(monkeypatch: pytest.MonkeyPatch, names: dict, answer: object) -> None:
    def confstr(name: str) -> object:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(os, "confstr_names", names, raising=False)
    monkeypatch.setattr(os, "confstr", confstr, raising=False)
    assert not has_glibc()


PAGE_FAULTS = """
import ctypes, resource
from napari_seamless.inference.allocator import warm_memory
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        block = libc.malloc(48 << 20)
        ctypes.memset(block, 1, 48 << 20)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
cold = faults()
with warm_memory() as is_warm:
    faults()
    print(cold, faults(), int(is_warm))
"""


def test_page_faults_go_away_where_there_is_glibc() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    if not has_glibc():
        return
    ran = subprocess.run([sys.executable, "-c", PAGE_FAULTS], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    cold, warm, is_warm = map(int, ran.stdout.split())
    assert is_warm
    assert warm < 100
    assert cold > 100 * max(warm, 1)


@pytest.mark.parametrize("run", [segment, predict_probabilities], ids=["segment", "predict_probabilities"])
def test_every_run_keeps_memory_warm_until_its_end(monkeypatch: pytest.MonkeyPatch, run: Callable[..., object]) -> None:
    entered: list[str] = []

    @contextmanager
    def noting() -> Iterator[bool]:
        entered.append("in")
        yield True
        entered.append("out")

    def noted(self: Predictor, outer: np.ndarray, wanted: object) -> Prediction:
        entered.append("network")
        return predict(self, outer, wanted)

    predict = Predictor.__call__
    monkeypatch.setattr(Predictor, "__call__", noted)
    monkeypatch.setattr("napari_seamless.inference.run.warm_memory", noting)
    run(np.zeros((9, 9), np.uint8), threshold_model(), axes="YX")
    assert entered == ["in", "network", "out"]


def test_memory_may_linger_until_the_next_run(library: Recorder) -> None:
    with warm_memory(linger=60):
        pass
    assert library.calls == KEEP
    with warm_memory():  # ends the wait, and is the last one out
        assert library.calls == KEEP + KEEP
    assert library.calls == KEEP + KEEP + RESTORE
    assert allocator._lingering is None


def test_memory_lingers_no_longer_than_asked_for(library: Recorder) -> None:
    with warm_memory(linger=0.01):
        pass
    timer = allocator._lingering
    assert timer is not None
    timer.join(10)
    assert library.calls == KEEP + RESTORE
    assert allocator._lingering is None
