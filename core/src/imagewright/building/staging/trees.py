"""Writing trees into folders of the work folder, from where namespaces read them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from imagewright.disk.tools import NO_ROOM
from imagewright.errors import StepFailed
from imagewright.types import Entry, Origin, Tree


def write_tree(tree: Tree, folder: Path, origin: Origin) -> None:
    """Write ``tree`` below ``folder``; parents have mode 755, whatever the caller's umask.

    Raises StepFailed if a source of the tree cannot be read, OSError if there is no room for it.
    """
    _make_parents(folder, Path("/"))
    folder.chmod(0o755)
    for entry in tree.entries:
        path = folder / entry.path
        _make_parents(path.parent, folder)
        try:
            _write(entry, path)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise  # it is the place that is written to
            raise StepFailed(
                "tree-source",
                f"a file of the flavour cannot be read: {error.strerror}",
                where=(f"flavour: {origin}", f"file: {entry.source or entry.path}"),
            ) from error


def tidy_modes(folder: Path) -> None:
    """Give what a caller's script left the modes that it needs: folders 755 at least, files readable by their owner.

    Bits that go beyond those (setuid, a private 600) are the script's own wish.
    """
    for current, folders, files in os.walk(folder):
        for name in (".", *folders):
            path = Path(current, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o755)
        for name in files:
            path = Path(current, name)
            if not path.is_symlink() and not path.stat().st_mode & 0o400:
                path.chmod(path.stat().st_mode | 0o400)


def _write(entry: Entry, path: Path) -> None:
    if entry.kind == "folder":
        path.mkdir(exist_ok=True)
        path.chmod(entry.mode)
    elif entry.kind == "link":
        path.symlink_to(entry.target)
    else:
        if entry.source is None:
            path.write_bytes(entry.content)
        else:
            shutil.copyfile(entry.source, path)
        path.chmod(entry.mode)


def _make_parents(parent: Path, stop: Path) -> None:
    if parent == stop or parent.is_dir():
        return
    _make_parents(parent.parent, stop)
    parent.mkdir()
    parent.chmod(0o755)
