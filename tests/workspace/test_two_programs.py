"""Two programs that change one library of models at once: no model is lost, none is damaged, no name is given twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from napari_seamless.errors import FileWriteError, ModelError, OutputExistsError
from napari_seamless.models.model import create_model
from napari_seamless.models.package import read_package, save_model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.workspace import lineage, lineage_file
from napari_seamless.workspace.lineage import Lineage
from napari_seamless.workspace.lineage_file import read_lineage, write_lineage
from napari_seamless.workspace.lock import FolderLock

MODEL = create_model(NetworkConfig(features=(2, 2)), name="cells")

PROGRAM = """
import sys
from pathlib import Path
from napari_seamless.errors import OutputExistsError
from napari_seamless.workspace.lineage import Lineage

folder, package, own = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
print("ready", flush=True)
sys.stdin.readline()
models = Lineage(folder)
for number in range(6):
    name = f"{own}-{number}"
    models.add(package, name)
    if number % 3 == 1:
        models.rename(name, f"{name}-renamed")
    if number % 3 == 2:
        models.delete(name)
try:
    models.add(package, "the same")
    print("first")
except OutputExistsError:
    print("second")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return save_model(MODEL, tmp_path / "package", weight_type="float16")


def assert_whole(folder: Path, names: set[str], deleted: set[str]) -> None:
    entries, _ = read_lineage(folder)  # what is recorded, not what is found in the folder besides
    assert sorted(entry.name for entry in entries) == sorted(names | deleted)
    assert {entry.name for entry in entries if entry.deleted} == deleted
    assert {path.name for path in folder.iterdir()} == names | {"lineage.json"} | ({".trash"} if deleted else set())
    for name in names:
        assert read_package(folder / name).name == name
    for name in deleted:
        assert read_package(folder / ".trash" / name).name == name


def test_processes_take_turns(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "library"
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(package), own],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for own in ("a", "b")
    ]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    answers = [program.communicate(timeout=60)[0].strip() for program in programs]
    assert sorted(answers) == ["first", "second"]
    kept = {f"{own}-{number}" for own in "ab" for number in (0, 3)}
    renamed = {f"{own}-{number}-renamed" for own in "ab" for number in (1, 4)}
    deleted = {f"{own}-{number}" for own in "ab" for number in (2, 5)}
    assert_whole(folder, kept | renamed | {"the same"}, deleted)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a while pass between the look at what there is and the change of it."""

    def write(*words: Any) -> None:
        time.sleep(0.1)
        write_lineage(*words)

    monkeypatch.setattr(lineage, "write_lineage", write)


@pytest.mark.usefixtures("slow")
def test_what_several_do_at_once_is_all_recorded(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "library"
    Lineage(folder).add(package, "old")
    Lineage(folder).add(package, "unwanted")
    doing: list[Callable[[], object]] = [
        lambda: Lineage(folder).add(package, "one"),
        lambda: Lineage(folder).add(package, "two"),
        lambda: Lineage(folder).rename("old", "new"),
        lambda: Lineage(folder).delete("unwanted"),
    ]
    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(each) for each in doing]:
            future.result()
    assert_whole(folder, {"one", "two", "new"}, {"unwanted"})


@pytest.mark.usefixtures("slow")
def test_one_of_several_renames_wins(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "library"
    Lineage(folder).add(package, "model")
    together = threading.Barrier(4)

    def rename(number: int) -> str:
        together.wait()
        try:
            return Lineage(folder).rename("model", f"new-{number}").name
        except ModelError:
            return ""

    with ThreadPoolExecutor(4) as threads:
        names = [name for name in threads.map(rename, range(4)) if name]
    assert len(names) == 1
    assert_whole(folder, set(names), set())


@pytest.mark.usefixtures("slow")
def test_same_name_is_given_once(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "library"
    together = threading.Barrier(4)

    def add(_: int) -> bool:
        together.wait()
        try:
            Lineage(folder).add(package, "model")
        except OutputExistsError:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(add, range(4))) == 1
    assert_whole(folder, {"model"}, set())


def test_who_is_in_the_way_is_named_after_a_while(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage_file, "WAIT_SECONDS", 0.1)
    folder = tmp_path / "library"
    folder.mkdir()
    other = FolderLock(folder / lineage_file.LOCK)
    assert other.acquire() == ""
    with pytest.raises(FileWriteError, match=rf"are being changed by process {os.getpid()} on .*: try again"):
        Lineage(folder).add(package, "model")
    other.release()
    Lineage(folder).add(package, "model")
    assert_whole(folder, {"model"}, set())


def test_lock_of_a_program_that_was_killed_is_taken_over(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    kill_itself = (
        "import os, sys; from pathlib import Path; from napari_seamless.workspace.lock import FolderLock;"
        "FolderLock(Path(sys.argv[1])).acquire(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", kill_itself, str(folder / lineage_file.LOCK)], check=False)
    assert (folder / lineage_file.LOCK).exists()
    Lineage(folder).add(package, "model")
    assert_whole(folder, {"model"}, set())


def test_nothing_is_left_of_a_folder_that_was_made_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        Lineage(tmp_path / "library").add(tmp_path / "nothing", "model")
    assert not (tmp_path / "library").exists()
