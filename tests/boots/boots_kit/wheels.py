"""An empty environment with wheels of this repository in it, as a user of a package index has it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

from boots_kit.images import TOP


def install(folder: Path, projects: Iterable[str]) -> Path:
    """Build the wheels of ``projects`` (folders of the repository) and install them below ``folder``; the commands.

    Raises RuntimeError with a program's words if it fails.
    """
    wheels = folder / "wheels"
    for project in projects:
        _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, TOP / project)
    venv.create(folder / "environment", with_pip=True)
    commands = folder / "environment/bin"
    pip = (commands / "python", "-m", "pip", "--disable-pip-version-check", "-q", "install")
    _run(*pip, "--only-binary", ":all:", *sorted(wheels.glob("*.whl")))
    return commands


def without_checkout() -> dict[str, str]:
    """The caller's environment without what would let Python find modules of a checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _run(*argv: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in argv], cwd="/", env=without_checkout(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{argv}\nended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
