"""Locks of the kernel (flock(2)): they end with whoever holds them, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def alone(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file ``path`` alone; ``on_wait`` is called once, before waiting for other holders.

    The file is gone afterwards. Raises OSError if it cannot be made.
    """
    waited = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # of several who wait, the file is gone for all but one when its holder ends
                if not waited:
                    on_wait()
                waited = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # the holder before removed the name, so that somebody else may have made and locked a new file by now
            if _is_at(descriptor, path):
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """The process that holds the lock of ``path``, None if nobody does or the kernel does not say (proc_locks(5))."""
    try:
        status = path.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in lines:
        words = line.split()
        # a process that waits has an arrow in front; one of another PID namespace has no number
        if words[1] != "->" and place in words and int(words[4]) > 0:
            return int(words[4])
    return None


def share(folder: Path) -> int | None:
    """A descriptor that keeps ``folder`` from being removed; None if it is not there or somebody is removing it."""
    return _locked(folder, fcntl.LOCK_SH)


def seize(folder: Path) -> int | None:
    """A descriptor of ``folder`` that nobody else holds; None if somebody does, or if it is not there."""
    return _locked(folder, fcntl.LOCK_EX)


def _locked(folder: Path, kind: int) -> int | None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if _is_at(descriptor, folder):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    held = os.fstat(descriptor)
    return (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino)
