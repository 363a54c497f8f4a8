"""A person at a terminal, for tests of what talks to one."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import threading
import time


class Person:
    """Who sits at a terminal of 33 lines and 101 columns: ``screen`` is the end that a program gets."""

    def __init__(self) -> None:
        self.keys, self.screen = pty.openpty()
        fcntl.ioctl(self.keys, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
        self.shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.keys, 4096)
            except OSError:
                return
            if not data:
                return
            self.shown += data

    def wait_for(self, text: str) -> None:
        """Wait until that has been shown. AssertionError after a minute."""
        deadline = time.monotonic() + 60
        while text.encode() not in self.shown:
            assert time.monotonic() < deadline, self.shown
            time.sleep(0.01)

    def type(self, text: str) -> None:
        """Type it; a line ends with a newline."""
        os.write(self.keys, text.encode())

    def at_work(self, *talk: tuple[str, str]) -> threading.Thread:
        """In a thread: wait for each first text, then type the second."""

        def go() -> None:
            for expected, answer in talk:
                self.wait_for(expected)
                self.type(answer)

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        return thread

    def leave(self) -> None:
        """Close the terminal."""
        os.close(self.screen)
        self._reader.join(10)
        os.close(self.keys)
