"""The standard streams as a caller may leave them: closed, or on a disk that is full."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

from imagewright.cli.screen import Screen
from imagewright.errors import HostError


def make_whole() -> None:
    """Put ``/dev/null`` in the place of each standard stream that is closed, so that no file of ours takes its number.

    What is written to a closed stdout fails as it should; what is written to a closed stderr nobody wanted to see.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number is the one that is closed
            os.set_inheritable(os.open(os.devnull, flags), True)
    # Python has none where the number was closed, which the types do not say
    streams: tuple[TextIO | None, ...] = (sys.stdin, sys.stdout, sys.stderr)
    sys.stdin = streams[0] or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open to the end
    sys.stderr = streams[2] or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if streams[1] is sys.__stdout__:
        sys.stdout = _noting(streams[1])


class _Noting(io.FileIO):
    """Stdout, which remembers that it failed: Python forgets the bytes that failed, and what follows may go well."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.error = error
            raise


def _noting(stdout: TextIO | None) -> TextIO:
    raw = _Noting(1, "w", closefd=False)
    encoding, errors = (stdout.encoding, stdout.errors) if stdout else ("utf-8", None)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=raw.isatty())


def stdout_error(screen: Screen) -> HostError | None:
    """The message if stdout did not take everything, None if it did; after that what is printed goes nowhere.

    Raises BrokenPipeError if the reader went away.
    """
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, _Noting) else None
    try:
        sys.stdout.flush()
    except OSError as later:
        error = error or later
    if isinstance(error, BrokenPipeError):
        raise error
    if error is None:
        return None
    swallow(sys.stdout)
    return HostError(
        "unwritable-stdout",
        "standard output cannot be written",
        where=tuple(f"in place: {path}" for path in screen.written),
        cause="it is closed" if error.errno == errno.EBADF else (error.strerror or str(error)).lower(),
    )


def swallow(stream: TextIO) -> None:
    """Let a stream that fails lead nowhere, also when Python flushes it at its end."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, stream.fileno())
    os.close(sink)


def settle(stream: TextIO) -> None:
    """Let what a stream did not take, such as progress, change no exit code: Python flushes it once more at its end."""
    try:
        stream.flush()
    except OSError:
        swallow(stream)
