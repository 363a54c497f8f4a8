"""Fills in the templates and writes them, all or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from imagewright import __version__
from imagewright.entrypoints import FLAVOUR_NAME
from imagewright.errors import HostError, UsageError
from imagewright.types import API_VERSION, Entry, Tree

SUFFIX = ".in"
TAKEN = frozenset({"False", "Flavour", "None", "Parameter", "Path", "Script", "Step", "True"})
"""What the templates' modules call otherwise."""


class Kind(StrEnum):
    """What is made: a folder of scripts, or a pack with such a folder, or a pack with a class."""

    FOLDER = "folder"
    SCRIPT_PACK = "script-pack"
    PYTHON_PACK = "python-pack"

    def folder_name(self, name: str) -> str:
        """The name of the folder that is made: the flavour's, or the distribution's."""
        return name if self is Kind.FOLDER else distribution_of(name)


def distribution_of(name: str) -> str:
    """The distribution of a flavour's pack."""
    return f"imagewright-flavours-{name.replace('_', '-')}"


def files_of(kind: Kind, name: str) -> Tree:
    """The files of a new flavour. Raises UsageError for a name that no flavour can have."""
    if FLAVOUR_NAME.fullmatch(name) is None:
        raise UsageError(
            "bad-flavour-name",
            f"`{name}` is not a name of a flavour",
            cause="a name consists of lower-case letters, digits, and single dashes or underscores between them",
            hint="imagewright flavours new my-flavour",
        )
    words = _words(name)
    top = resources.files("imagewright.templates") / "files"
    entries: dict[str, Entry] = {}
    if kind is not Kind.FOLDER:
        entries |= _filled(top / "pack", words, "")
        entries |= _filled(top / kind.value, words, "")
    if kind is not Kind.PYTHON_PACK:
        inner = "" if kind is Kind.FOLDER else f"src/{words['PACKAGE']}/{name}/"
        entries |= _filled(top / "folder", words, inner)
    return Tree(tuple(entries[path] for path in sorted(entries)))


def write(kind: Kind, name: str, directory: Path) -> Path:
    """Make a new flavour in ``directory`` and return its folder; it appears complete or not at all.

    Raises UsageError if there is something of that name, HostError if it cannot be written.
    """
    tree = files_of(kind, name)
    target = directory / kind.folder_name(name)
    if os.path.lexists(target):
        raise UsageError(
            "already-there",
            f"`{target}` is there already",
            cause="nothing is overwritten",
            hint="take another name, or another folder with --directory",
            option="directory",
        )
    if not directory.is_dir():
        raise UsageError(
            "no-such-directory",
            f"the folder `{directory}` does not exist",
            hint=f"mkdir -p {directory}",
            option="directory",
        )
    try:
        _write(tree, target)
    except OSError as error:
        raise HostError("cannot-write", f"`{target}` cannot be written", cause=error.strerror or str(error)) from error
    return target


def _write(tree: Tree, target: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        # mkdtemp hides its folder from others; the new one is as any mkdir would make it
        folder = work / "new"
        folder.mkdir()
        for entry in tree.entries:
            path = folder / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(entry.content)
            if entry.mode & 0o100:
                mode = path.stat().st_mode
                path.chmod(mode | (mode & 0o444) >> 2)
        folder.rename(target)
    finally:
        shutil.rmtree(work)


def _words(name: str) -> dict[str, str]:
    """What stands for what between two ``@``."""
    dashed = name.replace("_", "-")
    package = f"imagewright_flavours_{name.replace('-', '_')}"
    title = "".join(part.capitalize() for part in dashed.split("-"))
    if title in TAKEN or not title[0].isalpha():
        title = f"Flavour{title}"
    minor = ".".join(__version__.split(".")[:2])
    return {
        "API_VERSION": str(API_VERSION),
        "CLASS": title,
        "DISTRIBUTION": distribution_of(name),
        "IMAGEWRIGHT": minor,
        "NAME": name,
        "PACKAGE": package,
        "STEP": dashed,
    }


def _filled(folder: Traversable, words: Mapping[str, str], prefix: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for item in folder.iterdir():
        path = prefix + _replaced(item.name, words).removesuffix(SUFFIX)
        if item.is_dir():
            entries |= _filled(item, words, f"{path}/")
        elif item.name.endswith(SUFFIX):
            text = _replaced(item.read_text(encoding="utf-8"), words)
            mode = 0o755 if text.startswith("#!") else 0o644
            entries[path] = Entry(path=path, mode=mode, content=text.encode())
    return entries


def _replaced(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
