"""The applets of a busybox, and the links by which they are called."""

from __future__ import annotations

import posixpath
import shutil
import subprocess

from imagewright.errors import StepFailed


def applets(folder: str, path: str) -> tuple[str, ...]:
    """The paths at which a busybox would like its applets, such as ``usr/bin/wget``, sorted.

    ``path`` is that of busybox in the root at ``folder``, which is entered first unless it is the machine's own.
    Raises StepFailed if it does not say.
    """
    argv = [f"/{path.lstrip('/')}", "--list-full"]
    if folder:
        argv = [shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin") or "chroot", folder, *argv]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = tuple(sorted(line.strip() for line in done.stdout.splitlines() if "/" in line))
    if done.returncode or not found:
        raise StepFailed(
            "busybox-silent",
            f"the busybox at /{path.lstrip('/')} does not list its applets",
            cause=(done.stderr.strip().splitlines() or ["it printed nothing"])[-1],
            hint="BUSYBOX names another one",
        )
    return found


def names(paths: tuple[str, ...]) -> frozenset[str]:
    """The names of applets."""
    return frozenset(posixpath.basename(path) for path in paths)
