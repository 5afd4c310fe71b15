"""Make sure that Qt can open windows in the tests: a virtual X server and Qt's system libraries, on Linux only.

tox runs this before pytest. With root's rights or a sudo that asks no password, and with apt-get, what is missing gets
installed; otherwise the exact command that does it is printed and the run stops. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping

# Debian and Ubuntu package -> the file that shows it is there: a command for xvfb, a shared library for the others.
PACKAGES: Mapping[str, str] = {
    "xvfb": "Xvfb",
    "libegl1": "libEGL.so.1",
    "libgl1": "libGL.so.1",
    "libgl1-mesa-dri": "libGLX_mesa.so.0",
    "libxkbcommon-x11-0": "libxkbcommon-x11.so.0",
    "libxcb-icccm4": "libxcb-icccm.so.4",
    "libxcb-image0": "libxcb-image.so.0",
    "libxcb-keysyms1": "libxcb-keysyms.so.1",
    "libxcb-randr0": "libxcb-randr.so.0",
    "libxcb-render-util0": "libxcb-render-util.so.0",
    "libxcb-xinerama0": "libxcb-xinerama.so.0",
    "libxcb-cursor0": "libxcb-cursor.so.0",
    "libxcb-shape0": "libxcb-shape.so.0",
    "libdbus-1-3": "libdbus-1.so.3",
}


def library_loads(name: str) -> bool:
    """Tell whether the dynamic loader finds a shared library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def missing_packages(
    has_command: Callable[[str], object] = shutil.which, has_library: Callable[[str], bool] = library_loads
) -> list[str]:
    """Return the packages whose command or library this machine lacks, in the order of `PACKAGES`."""
    return [
        package
        for package, proof in PACKAGES.items()
        if not (has_library(proof) if ".so." in proof else has_command(proof))
    ]


def install_commands(packages: list[str]) -> list[list[str]]:
    """Return the commands that install `packages` on Debian and Ubuntu, to be run as root."""
    return [["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", *packages]]


def rights_prefix() -> list[str] | None:
    """Return what to put before a command to run it as root: nothing, or a sudo that asks no password; else None."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    probe = subprocess.run([sudo, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return [sudo, "-n"] if probe.returncode == 0 else None


def advice(packages: list[str]) -> str:
    """Return what a person without the rights can do, as a command to copy."""
    command = " && ".join("sudo " + " ".join(step) for step in install_commands(packages))
    files = ", ".join(PACKAGES[package] for package in packages)
    return (
        f"The tests open windows and need {files}.\n"
        f"On Debian and Ubuntu this installs them:\n\n    {command}\n\n"
        "On other systems install the packages that hold these files. Then run tox again."
    )


def install(packages: list[str], prefix: list[str]) -> bool:
    """Install `packages` with apt-get; return whether every step succeeded."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in install_commands(packages):
        print("+", " ".join(prefix + step), flush=True)
        if subprocess.run(prefix + step, stdin=subprocess.DEVNULL, env=environment, check=False).returncode != 0:
            return False
    return True


def main() -> int:
    """Provide what is missing; return 0 when Qt can open windows afterwards."""
    if not sys.platform.startswith("linux"):
        return 0
    missing = missing_packages()
    if not missing:
        return 0
    prefix = rights_prefix() if shutil.which("apt-get") else None
    if prefix is None or not install(missing, prefix):
        print(advice(missing), file=sys.stderr)
        return 1
    missing = missing_packages()
    if missing:
        print(advice(missing), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
