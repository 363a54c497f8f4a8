"""Every tracked file keeps the rules of the house."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

MACHINE_PATH = re.compile(r"(?<![A-Za-z0-9.}])/(?:work|farm)/|/root/\.pyenv")
LONGEST_MODULE = 400
# The mirror that Debian itself names for machines that were told of none.
BUILT_IN_MIRROR_OWNERS = ("plugins/debian/", "docs/")


def text_of(path: Path) -> str:
    """The file as text; bytes that are none do not matter here."""
    return path.read_bytes().decode(errors="replace")


def interpreter(path: Path) -> str:
    """The name of the program that the first line asks for, or nothing."""
    with path.open("rb") as file:
        first = file.readline(200).decode(errors="replace")
    if not first.startswith("#!"):
        return ""
    words = [Path(word).name for word in shlex.split(first[2:])]
    return next((word for word in words if word != "env" and not word.startswith("-")), "")


def registry_hosts() -> set[str]:
    """The hosts that this machine takes packages from: no file of the project may know them."""
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True
    ).stdout
    folder = Path("/etc/apt/sources.list.d")
    sources = [Path("/etc/apt/sources.list"), *(folder.iterdir() if folder.is_dir() else ())]
    texts = [settings, *(text_of(path) for path in sources if path.is_file() and os.access(path, os.R_OK))]
    return {host for text in texts for host in re.findall(r"https?://(?:[^/@\s']*@)?([^/:\s']+\.[^/:\s']+)", text)}


def test_no_file_names_a_path_of_the_machine_it_was_written_on(top: Path, tracked: tuple[Path, ...]) -> None:
    itself = Path(__file__).resolve()
    found = [str(path.relative_to(top)) for path in tracked if path != itself and MACHINE_PATH.search(text_of(path))]
    assert not found


def test_no_file_names_a_package_registry_of_this_machine(top: Path, tracked: tuple[Path, ...]) -> None:
    found = [
        f"{name}: {host}"
        for host in registry_hosts()
        for path in tracked
        if host in text_of(path) and not (name := str(path.relative_to(top))).startswith(BUILT_IN_MIRROR_OWNERS)
    ]
    assert not found


def test_a_file_with_a_shebang_is_executable_and_the_other_way_round(top: Path, tracked: tuple[Path, ...]) -> None:
    wrong = [
        str(path.relative_to(top))
        for path in tracked
        if bool(interpreter(path)) != os.access(path, os.X_OK)
        and "tests/packs/" not in str(path)
        # root may execute what anybody may: only the bits tell.
        and bool(interpreter(path)) != bool(path.stat().st_mode & 0o111)
    ]
    assert not wrong


def test_no_module_has_outgrown_its_reason(top: Path, tracked: tuple[Path, ...]) -> None:
    counts = {path.relative_to(top): len(text_of(path).splitlines()) for path in tracked if path.suffix == ".py"}
    assert not {str(path): lines for path, lines in counts.items() if lines > LONGEST_MODULE}


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "Not" + "ImplementedError"])
def test_no_file_promises_to_be_finished_later(top: Path, tracked: tuple[Path, ...], word: str) -> None:
    code = [path for path in tracked if path.suffix in {".py", ".sh", ".toml"} or interpreter(path)]
    assert not [str(path.relative_to(top)) for path in code if re.search(rf"\b{word}\b", text_of(path))]
