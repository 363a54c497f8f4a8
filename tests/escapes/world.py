"""What lies outside a build and must stay out of its reach: files, processes and sockets of the caller's."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = "mirror.invalid"
"""The host of the private package repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """``names`` are the values for the scripts of the table; ``secret`` is in every file and socket name.

    ``password`` is that of the package repository, in the file of logins ``logins``.
    """

    secret: str
    password: str
    logins: Path
    home: Path
    tmp: Path
    names: dict[str, str] = field(default_factory=dict)

    def script(self, text: str, **more: str) -> str:
        """A script of the table with this world's names in it."""
        for name, value in (self.names | more).items():
            text = text.replace("{" + name + "}", value)
        return text


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Make one; it is gone at the end."""
    secret = f"canary{secrets.token_hex(8)}"
    password = f"password-of-{secret}"
    with contextlib.ExitStack() as stack:
        # the caller's true home: a folder below it lasts as long as the tests
        home = Path(tempfile.mkdtemp(prefix=".imagewright-escapes-", dir=Path.home()))
        stack.callback(shutil.rmtree, home)
        tmp = Path(tempfile.mkdtemp(prefix="imagewright-escapes-", dir="/tmp"))
        stack.callback(shutil.rmtree, tmp)
        shm = Path("/dev/shm", secret)
        stack.callback(shm.unlink)
        for path in (home / "canary", tmp / "canary", shm):
            path.write_text(f"{secret}\n")
        logins = home / "logins"
        logins.write_text(f"machine {REPOSITORY} login ann password {password}\n")
        # others than the caller may look into the home, or its own modes would be the wall
        for folder in (home, tmp):
            folder.chmod(0o755)
        sleeper = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)", f"mark-{secret}"])
        )
        stack.callback(sleeper.kill)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=_greet, args=(listener,), daemon=True).start()
        for address in (f"\0{secret}", str(tmp / "agent")):
            agent = stack.enter_context(socket.socket(socket.AF_UNIX))
            agent.bind(address)
            agent.listen(64)
        os.chmod(tmp / "agent", 0o777)
        top = "/" + home.parts[1]
        names = {
            "home": str(home),
            "top": top if top in ("/home", "/root") else str(Path.home()),
            "tmp": str(tmp),
            "shm": str(shm),
            "pid": str(sleeper.pid),
            "first": "m",
            "rest": f"ark-{secret}",
            "port": str(listener.getsockname()[1]),
            "abstract": secret,
            "agent": str(tmp / "agent"),
        }
        try:
            yield World(secret=secret, password=password, logins=logins, home=home, tmp=tmp, names=names)
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _greet(listener: socket.socket) -> None:
    """Take each connection and end it, until the listener is closed."""
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()
