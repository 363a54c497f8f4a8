"""Starting the launcher: a process of its own with an environment that tells jobs nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import IO


def start_launcher(channel: socket.socket, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a launcher that talks over ``channel`` and writes what goes wrong to ``complaints``."""
    return subprocess.Popen(
        # -P: no file of the current folder is taken for a module
        [sys.executable, "-P", "-m", "imagewright.sandbox.launcher", str(channel.fileno())],
        pass_fds=[channel.fileno()],
        stdin=subprocess.DEVNULL,
        # a job could open its process 1's descriptors: the caller's terminal is not among them
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        # a session of its own: ^C of the terminal reaches the build alone
        start_new_session=True,
        env=_launcher_environment(),
    )


def _launcher_environment() -> dict[str, str]:
    """What Python needs to start, and nothing else: jobs can read the environment of their process 1."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "LD_LIBRARY_PATH") or name.startswith(("PYTHON", "COVERAGE", "COV_"))
    }
    folders = os.pathsep.join(folder for folder in sys.path if folder)
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONPATH": folders}
