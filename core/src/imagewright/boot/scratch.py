"""The folder of a command's files: gone at its end but for logs worth reading, and swept up if its owner was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "imagewright-boot-"
_LOCK = "lock"
_KEPT_FOR = 14 * 24 * 3600.0
"""For how many seconds the logs of a failure stay."""


class Scratch:
    """The folder; with ``keep_logs`` set its ``*.log`` files outlive the trial."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keep_logs = False


@contextlib.contextmanager
def scratch(above: Path | None) -> Iterator[Scratch]:
    """Make a folder below ``above`` (None: the system's temporary folder), and sweep up what others left there.

    Raises OSError if it cannot be made.
    """
    if above is not None:
        above.mkdir(parents=True, exist_ok=True)
        _sweep(above)
    it = Scratch(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=above)))
    with (it.path / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield it
        finally:
            _clear(it)


def _clear(it: Scratch) -> None:
    for path in it.path.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not (it.keep_logs and path.suffix == ".log" and path.stat().st_size):
            path.unlink()
    with contextlib.suppress(OSError):
        it.path.rmdir()


def _sweep(above: Path) -> None:
    for folder in above.glob(f"{_PREFIX}*"):
        lock = folder / _LOCK
        if lock.exists():
            with contextlib.suppress(OSError), lock.open("rb") as held:
                # Raises if its owner still lives.
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        elif folder.stat().st_mtime < time.time() - _KEPT_FOR and os.access(folder, os.W_OK):
            shutil.rmtree(folder, ignore_errors=True)
