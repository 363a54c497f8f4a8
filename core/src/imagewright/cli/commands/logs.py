"""The file with the full log of a build. It is made at the first event, so that a refused request leaves no trace."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import TextIO

from imagewright.cli.render.log import LogMonitor
from imagewright.errors import HostError
from imagewright.events import Event

KEPT = 20
"""Logs that stay in the cache folder."""


class LogFile:
    """A monitor that writes the log file. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: TextIO | None = None
        self._monitor: LogMonitor | None = None

    @classmethod
    def choose(cls, wanted: Path | None, cache_dir: Path, image: str) -> LogFile:
        """The log that the user names, else a new one in the cache folder. Raises HostError if it cannot be written."""
        if wanted is None:
            stamp = time.strftime("%Y%m%d-%H%M%S")
            return cls(cache_dir / "logs" / f"{image}-{stamp}-{os.getpid()}.log")
        try:
            _try(wanted.absolute())
        except OSError as error:
            raise HostError(
                "unwritable-log",
                f"the log file `{wanted}` cannot be written",
                cause=(error.strerror or str(error)).lower(),
                hint="name another `--log-file`",
                option="log-file",
            ) from error
        return cls(wanted.absolute())

    @property
    def title(self) -> str:
        """What it is called where it cannot be written any more."""
        return f"the log {self.path}"

    @property
    def begun(self) -> bool:
        """Whether there is something in it."""
        return self._stream is not None

    def __enter__(self) -> LogFile:
        """Nothing is opened yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file and let the oldest of its folder go."""
        if self._stream is None:
            return
        try:
            self._stream.close()
        except OSError:
            return
        if self.path.parent.name == "logs":
            _forget_oldest(self.path.parent)

    def handle(self, event: Event) -> None:
        """Write an event. Raises OSError, for which the log is left out from then on."""
        if self._monitor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The log of a build shows what hooks print; that is the caller's business alone.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._stream = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")
            self._monitor = LogMonitor(self._stream)
        self._monitor.handle(event)

    def note(self, text: str) -> None:
        """Write what ended the build, if anything was written before."""
        if self._stream is None:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except (OSError, ValueError):
            return


def _try(path: Path) -> None:
    """Raise OSError if the file could not be written; one that is not there is not made."""
    if os.path.lexists(path):
        if not path.is_fifo():  # which may have no reader yet
            os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    else:
        with TemporaryFile(dir=path.parent):
            pass


def _forget_oldest(folder: Path) -> None:
    try:
        logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
        for path in logs[:-KEPT]:
            path.unlink()
    except OSError:
        return
