"""The script that gives the tests a display: what it looks for, what it runs, what it tells a person."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).with_name("provide_display.py")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, on a machine that says it is Linux with apt-get, root, and nothing installed."""
    spec = importlib.util.spec_from_file_location("provide_display", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module.os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")
    return module


class Machine:
    """Stands in for `subprocess.run`: keeps the commands and answers with an exit code for each program."""

    def __init__(self, **exit_codes: int) -> None:
        self.commands: list[list[str]] = []
        self.exit_codes = exit_codes

    def run(self, command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(command)
        program = Path(command[0]).name.replace("-", "_")
        return subprocess.CompletedProcess(command, self.exit_codes.get(program, 0))


def missing_once(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    remaining = list(answers)
    monkeypatch.setattr(script, "missing_packages", lambda: remaining.pop(0))


def test_missing_are_told_apart_by_command_and_by_library(script: ModuleType) -> None:
    missing = script.missing_packages(has_command=lambda name: None, has_library=lambda name: name != "libEGL.so.1")
    assert missing == ["xvfb", "libegl1"]
    assert script.missing_packages(has_command=lambda name: name, has_library=lambda name: True) == []


def test_library_loads_says_no_for_one_that_does_not_exist(script: ModuleType) -> None:
    assert not script.library_loads("libnapari-seamless-has-no-such-library.so.7")


def test_root_installs_what_is_missing_and_nothing_else(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr(script.subprocess, "run", machine.run)
    missing_once(script, monkeypatch, ["xvfb", "libegl1"], [])
    assert script.main() == 0
    assert machine.commands == [
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", "xvfb", "libegl1"],
    ]


def test_nothing_runs_when_nothing_is_missing(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr(script.subprocess, "run", machine.run)
    missing_once(script, monkeypatch, [])
    assert script.main() == 0
    assert machine.commands == []


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_have_a_display(script: ModuleType, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(script.sys, "platform", platform)
    missing_once(script, monkeypatch)
    assert script.main() == 0


def test_sudo_without_password_is_used(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr(script.os, "geteuid", lambda: 1000, raising=False)
    monkeypatch.setattr(script.subprocess, "run", machine.run)
    missing_once(script, monkeypatch, ["xvfb"], [])
    assert script.main() == 0
    assert machine.commands[1:] == [
        ["/usr/bin/sudo", "-n", "apt-get", "update"],
        ["/usr/bin/sudo", "-n", "apt-get", "install", "--yes", "--no-install-recommends", "xvfb"],
    ]


def test_without_rights_the_exact_command_is_printed(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(sudo=1)
    monkeypatch.setattr(script.os, "geteuid", lambda: 1000, raising=False)
    monkeypatch.setattr(script.subprocess, "run", machine.run)
    missing_once(script, monkeypatch, ["xvfb", "libxcb-cursor0"])
    assert script.main() == 1
    command = "sudo apt-get update && sudo apt-get install --yes --no-install-recommends xvfb libxcb-cursor0"
    assert command in capsys.readouterr().err


def test_without_apt_get_the_files_are_named(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script.shutil, "which", lambda name: None)
    missing_once(script, monkeypatch, ["libegl1"])
    assert script.main() == 1
    assert "libEGL.so.1" in capsys.readouterr().err


def test_a_failed_installation_is_a_failure(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script.subprocess, "run", Machine(apt_get=100).run)
    missing_once(script, monkeypatch, ["xvfb"])
    assert script.main() == 1
    assert "apt-get install" in capsys.readouterr().err
