"""Reads the files of directory flavours: phase folders with scripts and data, and trees.

The caller's umask never shows: the mode of a file is 0755 if its owner may execute it, else 0644; folders are 0755.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imagewright.errors import ContractError
from imagewright.metadata import broken
from imagewright.types import Entry, Origin, Script, Tree

STEP_ID = re.compile(r"[0-9]{2}-[a-z0-9][a-z0-9-]*")
NUMBERED = re.compile(r"[0-9]{2}-")

LARGE = 2**20
"""Bytes from which a file is read when it is needed, not when the plan is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFolder:
    """The scripts of a phase by id, sorted; ``data`` is everything else in the folder."""

    scripts: tuple[tuple[str, Script], ...] = ()
    data: Tree = field(default_factory=Tree)


def read_phase_folder(folder: Path, origin: Origin) -> PhaseFolder:
    """Read a ``PHASE.d`` folder.

    Raises ContractError for a script without its execute bit, an executable whose name would be skipped, and what is
    neither file nor folder.
    """
    scripts: list[tuple[str, Path]] = []
    data: list[Entry] = []
    for path in _listed(folder, origin):
        if path.is_dir():
            data.append(Entry(path=path.name, kind="folder", mode=0o755))
            data += _walk(path, path.name, origin, follow=True, above=(folder.resolve(),))
            continue
        executable = _is_executable(path, origin)
        if executable and STEP_ID.fullmatch(path.name):
            scripts.append((path.name, path))
        elif executable:
            raise _skipped(path, folder, origin)
        elif NUMBERED.match(path.name):
            raise broken(
                origin,
                "script-not-executable",
                f"`{folder.name}/{path.name}` of flavour `{origin.flavour}` lacks its execute bit",
                cause="a file named NN-… is a script, and a script that is not executable would never run",
                hint=f"chmod +x {path}, or give data another name",
            )
        else:
            data.append(_file(path, path.name, origin))
    beside = Tree(tuple(sorted(data, key=lambda entry: entry.path)))
    return PhaseFolder(
        scripts=tuple((name, Script(content=read(path, origin), data=beside, source=path)) for name, path in scripts),
        data=beside,
    )


def read_tree(folder: Path, origin: Origin) -> Tree:
    """Read a folder that is copied as it is: symbolic links stay links. Raises ContractError for special files."""
    return Tree(tuple(sorted(_walk(folder, "", origin, follow=False, above=()), key=lambda entry: entry.path)))


def read(path: Path, origin: Origin) -> bytes:
    """The bytes of a flavour's file. Raises ContractError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, origin, error) from error


def unreadable(path: Path, origin: Origin, error: OSError) -> ContractError:
    """The error for a flavour's file that cannot be read."""
    return broken(
        origin,
        "flavour-unreadable",
        f"`{path}` of flavour `{origin.flavour}` cannot be read",
        cause=error.strerror or str(error),
    )


def _skipped(path: Path, folder: Path, origin: Origin) -> ContractError:
    suggestion = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-")
    if not NUMBERED.match(suggestion):
        suggestion = f"50-{re.sub(r'^[0-9]+-?', '', suggestion) or 'script'}"
    return broken(
        origin,
        "script-name-skipped",
        f"`{folder.name}/{path.name}` of flavour `{origin.flavour}` is executable, and its name would be skipped",
        cause="a script is named NN-name: two digits, a dash, lower-case letters, digits and dashes",
        hint=f"name it `{suggestion}`; a helper that scripts call belongs into a sub-folder",
    )


def _listed(folder: Path, origin: Origin) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, origin, error) from error


def _is_executable(path: Path, origin: Origin) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IXUSR)
    except OSError as error:
        raise unreadable(path, origin, error) from error


def _walk(folder: Path, prefix: str, origin: Origin, *, follow: bool, above: tuple[Path, ...]) -> Iterator[Entry]:
    real = folder.resolve()
    if real in above:
        raise broken(
            origin,
            "link-loop",
            f"`{folder}` of flavour `{origin.flavour}` leads back into a folder above it",
        )
    for path in _listed(folder, origin):
        name = f"{prefix}/{path.name}" if prefix else path.name
        if path.is_symlink() and not follow:
            yield Entry(path=name, kind="link", mode=0o777, target=str(path.readlink()))
        elif path.is_dir():
            yield Entry(path=name, kind="folder", mode=0o755)
            yield from _walk(path, name, origin, follow=follow, above=(*above, real))
        else:
            yield _file(path, name, origin)


def _file(path: Path, name: str, origin: Origin) -> Entry:
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, origin, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise broken(
            origin,
            "special-file",
            f"`{path}` of flavour `{origin.flavour}` is neither a file nor a folder",
        )
    mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    if status.st_size >= LARGE:
        if not os.access(path, os.R_OK):
            raise unreadable(path, origin, PermissionError(13, "Permission denied"))
        return Entry(path=name, mode=mode, source=path)
    return Entry(path=name, mode=mode, content=read(path, origin))
