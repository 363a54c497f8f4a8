"""A job at the caller's terminal: it gets a pseudo-terminal of its own, and what is typed and shown is handed on.

The caller's own terminal is given to no job: whoever holds one may type into it (TIOCSTI, ioctl_tty(2)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import termios
import threading
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_PIECE = 1 << 16
_SIZE = bytes(8)  # struct winsize: rows, columns and two numbers that nobody uses


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Descriptors of the terminal that the caller types at and looks at."""

    typed: int
    shown: int

    @classmethod
    def of_caller(cls) -> Terminal | None:
        """That of this process; None if its standard input or output is none."""
        try:
            return cls(typed=0, shown=1) if os.isatty(0) and os.isatty(1) else None
        except OSError:
            return None


class Line:
    """A pseudo-terminal: ``inner`` is the end for the job, which becomes its controlling terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._outer, self.inner = pty.openpty()
        os.set_blocking(self._outer, False)
        self._resize()

    def close(self) -> None:
        """Close both ends."""
        os.close(self._outer)
        self.hand_over()

    def hand_over(self) -> None:
        """Close the job's end here: it has its own by now, and its end is seen when the last one closes."""
        if self.inner >= 0:
            os.close(self.inner)
            self.inner = -1

    def follow(self, output: int, result: int) -> bytes:
        """Hand on what is typed and shown until the job holds neither pipe any more; what it sent as its result."""
        self.hand_over()
        with _raw(self._terminal.typed), self._sized():
            return self._carry(output, result)

    def _carry(self, output: int, result: int) -> bytes:
        poll = select.poll()
        for descriptor in (output, result, self._outer, self._terminal.typed):
            poll.register(descriptor, select.POLLIN)
        pipes, typed, answer = {output, result}, b"", b""
        while pipes:
            for descriptor, event in poll.poll():
                if descriptor == self._outer and event & select.POLLOUT:
                    typed = self._type(typed)
                if not event & ~select.POLLOUT:
                    continue
                data = _read(descriptor)
                if data is None:
                    continue
                if not data:
                    poll.unregister(descriptor)
                    pipes.discard(descriptor)
                elif descriptor == self._terminal.typed:
                    typed += data
                elif descriptor == result:
                    answer += data
                else:
                    self._show(data)
            with contextlib.suppress(FileNotFoundError):  # the job let go of it
                poll.modify(self._outer, select.POLLIN | (select.POLLOUT if typed else 0))
        # what the job printed last may still be on its way
        while data := _read(self._outer):
            self._show(data)
        return answer

    def _type(self, data: bytes) -> bytes:
        try:
            return data[os.write(self._outer, data) :]
        except BlockingIOError:
            return data
        except OSError:
            return b""

    def _show(self, data: bytes) -> None:
        # a terminal that went away sends a signal, and that ends the build
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._terminal.shown, data) :]

    def _resize(self, *_: Any) -> None:
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(self._terminal.shown, termios.TIOCGWINSZ, _SIZE)
            fcntl.ioctl(self._outer, termios.TIOCSWINSZ, size)

    @contextlib.contextmanager
    def _sized(self) -> Iterator[None]:
        """Keep the job's terminal as large as the caller's; signals reach the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGWINCH, self._resize)
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)


def _read(descriptor: int) -> bytes | None:
    """What is there to be read: nothing at the end, None if it must be waited for."""
    try:
        return os.read(descriptor, _PIECE)
    except BlockingIOError:
        return None
    except OSError:  # EIO: nobody holds the other end
        return b""


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Let every key reach the job, ^C too; the terminal is as it was afterwards."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
