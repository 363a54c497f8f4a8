"""The one work folder of a build, under a lock; what a killed build left is removed by the next command."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from imagewright.errors import HostError
from imagewright.sandbox import Sandbox

LOCK = "lock"


@contextmanager
def work_folder(parent: Path, *, preload: tuple[str, ...]) -> Iterator[tuple[Path, Sandbox]]:
    """Make a folder below ``parent`` and a sandbox on it; both are gone at the end, whatever happens.

    Raises HostError if the folder cannot be made or the host gives no namespaces.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=parent))
    except OSError as error:
        raise HostError(
            "work-folder",
            f"the work folder cannot be made: {error.strerror}",
            where=(f"folder: {parent}",),
            hint="name another one with --work-dir or --cache-dir",
        ) from error
    with FileLock(folder / LOCK):
        clear_abandoned(parent)
        # mapped root must be able to enter, whoever the caller is
        folder.chmod(0o755)
        (folder / "layers").mkdir()
        try:
            with Sandbox.open(folder, preload=preload) as sandbox:
                try:
                    yield folder, sandbox
                finally:
                    _empty(folder, sandbox)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned(parent: Path) -> tuple[Path, ...]:
    """Remove the work folders whose builders are gone; return them. One that is in use is left alone."""
    removed = []
    for folder in sorted(parent.glob("build-*")):
        lock = FileLock(folder / LOCK, timeout=0)
        if not folder.is_dir():
            continue
        try:
            with lock:
                with suppress(HostError):
                    (folder / "layers").mkdir(exist_ok=True)
                    with Sandbox.open(folder) as sandbox:
                        _empty(folder, sandbox)
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
        except (Timeout, OSError):
            continue
    return tuple(removed)


def _empty(folder: Path, sandbox: Sandbox) -> None:
    # only the namespace may remove files of mapped owners
    for entry in sorted(os.listdir(folder)):
        if entry != LOCK:
            sandbox.remove(folder / entry)
