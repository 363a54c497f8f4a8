"""Starting the launcher, and talking with it: a process of its own with an environment that tells jobs nothing.

Python and the modules take it longer to start than all the rest of a sandbox does. So whoever knows early that there
will be one may start the launcher before the builder has imported its own modules, and hand it to ``Sandbox.open``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Any, Self

from imagewright.errors import HostError
from imagewright.sandbox import wire

_PATIENCE = 10  # seconds in which a launcher without a builder ends


class Launcher:
    """The process that will make the namespaces, and its socket."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket, complaints: IO[bytes]) -> None:
        self._process = process
        self._channel = channel
        self._complaints = complaints
        self._needed = False

    @classmethod
    def start(cls, ahead: Sequence[str] = ()) -> Self:
        """Start one that waits for its work folder, and imports the modules ``ahead`` meanwhile, if they load.

        Raises HostError if no process can be started.
        """
        with contextlib.ExitStack() as opened:
            try:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                opened.callback(ours.close)
                with theirs:
                    complaints = opened.enter_context(tempfile.TemporaryFile())
                    process = subprocess.Popen(
                        # -P: no file of the current folder is taken for a module
                        [sys.executable, "-P", "-m", "imagewright.sandbox.launcher", str(theirs.fileno()), *ahead],
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        # a job could open its process 1's descriptors: the caller's terminal is not among them
                        stdout=subprocess.DEVNULL,
                        stderr=complaints,
                        # a session of its own: ^C of the terminal reaches the build alone
                        start_new_session=True,
                        env=_environment(),
                    )
            except OSError as error:
                raise HostError(
                    "launcher-not-started",
                    f"the process of the sandbox cannot be started: {error.strerror}",
                    cause="the host lets you start no more processes, or has no room for temporary files",
                    hint="end other programs, look at `ulimit -a`, or name a folder with room in TMPDIR",
                ) from error
            opened.pop_all()
        return cls(process, ours, complaints)

    def __enter__(self) -> Self:
        """The launcher itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send one message; the descriptors stay open here. Raises OSError when the launcher is gone."""
        self._needed = True
        wire.send(self._channel, message, descriptors)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the launcher is gone."""
        received = wire.receive(self._channel)
        return received[0] if received else None

    def hang_up(self) -> None:
        """Have it and everything that runs in its namespaces end, without waiting; for signal handlers too."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def last_words(self) -> str | None:
        """The last line that it wrote before it ended; None if it was closed."""
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        if self._complaints.closed:
            return None
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace").strip().rsplit("\n", 1)[-1]

    def close(self) -> None:
        """End it and everything that runs in its namespaces; when this returns nothing of it is left."""
        if not self._needed and not self._complaints.closed:
            # it has nothing but its own modules yet, and would look up from them late
            self._process.kill()
        # closed alone it would stay open as long as a process has a copy
        self.hang_up()
        self._channel.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._complaints.close()


def _environment() -> dict[str, str]:
    """What Python needs to start, and nothing else: jobs can read the environment of their process 1."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "LD_LIBRARY_PATH") or name.startswith(("PYTHON", "COVERAGE", "COV_"))
    }
    folders = os.pathsep.join(folder for folder in sys.path if folder)
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONPATH": folders}
