"""Logins with OpenSSH's own client, with keys of our making and nothing of the caller's ``~/.ssh``."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from imagewright.boot.running import RunningMachine
from imagewright.boot.tools import find

CONNECTION_LOST = 255
"""The exit status of ssh itself when it could not log in or lost the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key in a file, and the public one as a line of authorized_keys."""

    private: Path
    public: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command in the machine did; ``status`` is 255 if ssh itself failed, 124 if time ran out."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.status == 0


def make_key(folder: Path, name: str = "key") -> KeyPair:
    """Make a new ed25519 key in ``folder``. Raises HostError without ssh-keygen, OSError if it cannot write."""
    private = folder / name
    argv = (find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", f"imagewright-{name}", "-f", str(private))
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return KeyPair(private=private, public=private.with_name(f"{name}.pub").read_text(encoding="utf-8").strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A way into a machine: ``user`` with a key, at a port of 127.0.0.1."""

    port: int
    user: str
    key: Path
    known_hosts: Path = Path("/dev/null")

    def argv(self, *more: str) -> tuple[str, ...]:
        """The command line of ssh up to the host. The caller's configuration, agent and known hosts are left out."""
        options = (
            "BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", f"UserKnownHostsFile={self.known_hosts}",
            "GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "UpdateHostKeys=no", "ConnectTimeout=20",
            "ServerAliveInterval=15", "ServerAliveCountMax=8", "LogLevel=ERROR",
        )  # fmt: skip
        words = [find("ssh"), "-F", "/dev/null", "-T", "-p", str(self.port), "-l", self.user, "-i", str(self.key)]
        for option in options:
            words += ["-o", option]
        return (*words, *more, "127.0.0.1")

    def run(self, command: str, *, timeout: float = 300.0, stdin: str = "") -> Ran:
        """Run a shell command in the machine as the login user and wait for its end."""
        return _ran((*self.argv(), command), timeout, stdin)

    def works(self) -> bool:
        """Whether a login succeeds now."""
        return self.run("true", timeout=60).ok

    def refuses(self) -> bool:
        """Whether the machine answers and denies this key, which is more than not answering."""
        ran = self.run("true", timeout=60)
        return ran.status == CONNECTION_LOST and "Permission denied" in ran.stderr

    def methods(self) -> tuple[str, ...]:
        """The ways of proving oneself that the server offers this user: ``publickey``, ``password``, …"""
        ran = _ran((*self.argv("-o", "PreferredAuthentications=none"), "true"), 60)
        found = re.search(r"Permission denied \(([^)]*)\)", ran.stderr)
        return tuple(found.group(1).split(",")) if found else ()


def log_in(machine: RunningMachine, user: str, key: Path, *, timeout: float) -> Login:
    """Try until a login works and return it. Raises BootFailed after ``timeout`` seconds, or as ``check`` does."""
    deadline = time.monotonic() + timeout
    while True:
        login = Login(port=machine.ssh_port, user=user, key=key)
        ran = login.run("true", timeout=60)
        if ran.ok:
            return login
        machine.check()
        if time.monotonic() > deadline:
            raise machine.failure(
                f"nobody could log in as `{user}` within {timeout:.0f} s",
                cause=(ran.stderr.strip().splitlines() or ["ssh got no answer"])[-1],
                hint=f"if the image's login user is not `{user}`, name it with --user",
            )
        time.sleep(2)


def host_keys(port: int, *, kinds: str = "ed25519,ecdsa,rsa", timeout: float = 60.0) -> frozenset[str]:
    """The public host keys, ``TYPE BASE64`` each, of the server at a port of 127.0.0.1.

    One connection is made for each of the ``kinds``; a kind that the server does not answer for within ``timeout``
    seconds is missing.
    """
    argv = (find("ssh-keyscan"), "-T", f"{timeout:.0f}", "-t", kinds, "-p", str(port), "127.0.0.1")
    lines = _ran(argv, 2 * timeout).stdout.splitlines()
    return frozenset(" ".join(line.split()[1:3]) for line in lines if line and not line.startswith("#"))


def _ran(argv: tuple[str, ...], timeout: float, stdin: str = "") -> Ran:
    start = time.monotonic()
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, errors="replace", check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        stdout, stderr = _so_far(error.stdout), _so_far(error.stderr)
        return Ran(status=124, stdout=stdout, stderr=stderr, seconds=time.monotonic() - start)
    return Ran(status=done.returncode, stdout=done.stdout, stderr=done.stderr, seconds=time.monotonic() - start)


def _so_far(part: bytes | str | None) -> str:
    # After a time-out the output is bytes, whatever `text` says.
    return part.decode(errors="replace") if isinstance(part, bytes) else (part or "")
