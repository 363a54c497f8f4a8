"""The one work folder of a build, under a lock; what a killed build left is removed by the next command."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from imagewright.errors import HostError
from imagewright.sandbox import Sandbox, probe

LOCK = "lock"


@contextmanager
def work_folder(parent: Path, open_sandbox: Callable[[Path], Sandbox] = Sandbox.open) -> Iterator[tuple[Path, Sandbox]]:
    """Make a folder below ``parent`` and a sandbox on it; both are gone at the end, whatever happens.

    ``open_sandbox`` is :meth:`Sandbox.open`, with what the sandbox shall be like. Raises HostError if the folder cannot
    be made or the host gives no namespaces.
    """
    with plain_folder(parent) as folder:
        (folder / "layers").mkdir()
        with _opened(folder, open_sandbox) as sandbox:
            try:
                # mapped root must be able to enter, whoever the caller is, and nobody else: a program in the tree that
                # is setuid to its root is, seen from the host, setuid to the caller
                sandbox.admit(folder)
                yield folder, sandbox
            finally:
                _empty(folder, sandbox)


@contextmanager
def plain_folder(parent: Path) -> Iterator[Path]:
    """Make a work folder below ``parent`` without a sandbox; it is gone at the end. Raises HostError."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # nobody may take a folder that has no lock yet for one that was abandoned
        with _held(parent):
            folder = Path(tempfile.mkdtemp(prefix="build-", dir=parent))
            lock = FileLock(folder / LOCK)
            lock.acquire()
    except OSError as error:
        raise HostError(
            "work-folder",
            f"the work folder cannot be made: {error.strerror}",
            where=(f"folder: {parent}",),
            hint="name another one with --work-dir or --cache-dir",
        ) from error
    try:
        clear_abandoned(parent)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder itself, so that no lock file is left in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _opened(folder: Path, open_sandbox: Callable[[Path], Sandbox]) -> Sandbox:
    try:
        return open_sandbox(folder)
    except HostError as error:
        raise probe.explained(error) from error


def clear_abandoned(parent: Path) -> tuple[Path, ...]:
    """Remove the work folders whose builders are gone; return them. One that is in use is left alone."""
    removed = []
    with _held(parent):
        found = sorted(folder for folder in parent.glob("build-*") if folder.is_dir())
    for folder in found:
        try:
            with FileLock(folder / LOCK, timeout=0):
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
