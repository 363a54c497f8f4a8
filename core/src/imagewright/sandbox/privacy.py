"""What of the host is covered in the view of a flavour's script outside the tree: homes, and what others left in /tmp.

Standard library only: the launcher and what runs on the host use it.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import pwd
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence

from imagewright.sandbox import syscalls

SCRATCH = ("/tmp", "/var/tmp")  # noqa: S108 - the host's, covered by the script's own
"""Folders in which a script has its own instead of the host's."""

_HIDDEN = syscalls.MS_NOSUID | syscalls.MS_NODEV


def homes(environment: Mapping[str, str]) -> list[str]:
    """The folders that hold the caller's home and those of others, outermost only."""
    own = [environment.get("HOME", "")]
    with contextlib.suppress(KeyError):
        own.append(pwd.getpwuid(os.getuid()).pw_dir)
    # a folder at the top that is no home, such as the /usr or / of a daemon's account, holds the system
    own = [os.path.realpath(home) for home in own if home.startswith("/") and posixpath.dirname(home) != "/"]
    return _outermost(home for home in ("/home", "/root", *own) if os.path.isdir(home))


def needed(environment: Mapping[str, str], hidden: Iterable[str]) -> list[str]:
    """Those of the folders of programs and of Python's code that lie below hidden ones, outermost only."""
    folders = [sys.prefix, sys.base_prefix, *sys.path, *environment.get("PATH", "").split(":")]
    return _outermost(below(hidden, folders))


def below(hidden: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Those of the paths that are there and lie within a hidden folder, each by the name that is asked for."""
    tops = [f"{folder}/" for folder in (*hidden, *SCRATCH)]
    named = (posixpath.normpath(path) for path in paths if path.startswith("/"))
    return [path for path in named if any(path.startswith(top) for top in tops) and os.path.exists(path)]


def cover(folders: Iterable[str], shown: Sequence[tuple[str, int]]) -> None:
    """Put an empty folder over each of ``folders``, and in these what is shown: names with descriptors, closed then."""
    for folder in folders:
        if os.path.isdir(folder):
            mode = "1777" if folder in SCRATCH else "755"
            syscalls.mount("tmpfs", folder, "tmpfs", _HIDDEN, f"mode={mode}")
    for path, descriptor in sorted(shown):
        show(path, descriptor)


def show(path: str, descriptor: int, *, writable: bool = False) -> None:
    """Bind what was opened at ``path``, which is made where it is not there; the descriptor is closed."""
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.makedirs(path, 0o755, exist_ok=True)
    elif not os.path.exists(path):
        os.makedirs(posixpath.dirname(path), 0o755, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    syscalls.mount(f"/proc/self/fd/{descriptor}", path, flags=syscalls.MS_BIND | syscalls.MS_REC)
    os.close(descriptor)
    (syscalls.make_writable if writable else syscalls.make_read_only)(path)


def _outermost(folders: Iterable[str]) -> list[str]:
    found: list[str] = []
    for folder in sorted(set(folders)):
        if not any(folder.startswith(f"{other}/") for other in found):
            found.append(folder)
    return found
