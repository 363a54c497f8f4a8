"""The helper of root's that makes a user namespace for a caller who may not: ``sudoers.d`` of the project has it.

It is asked through sudo, and answers with a descriptor of a namespace that belongs to the caller.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import IO

from imagewright.errors import HostError
from imagewright.sandbox import wire
from imagewright.sandbox.mapping import Mapping

PROGRAM = Path("/usr/local/libexec/imagewright-namespace")
RULE = Path("/etc/sudoers.d/imagewright")
DIGEST = "480b51096b5310d9564ae44b0be07382750ec8f2b5eaac49a4b4574a37a62984"
"""The SHA-256 hex digest of the helper that belongs to this version."""

INSTALL = "make install-helper"


def installed() -> bool:
    """Whether there is a helper; whether it may be used is said by :func:`faults`."""
    return PROGRAM.exists()


def faults() -> tuple[HostError, ...]:
    """What is wrong with the helper and its rule, as far as the caller may look; empty if it can be used."""
    found = [fault for fault in (_of_program(), _of_rule()) if fault]
    if not found and os.getuid() != 0 and not _allowed():
        found.append(
            _fault(
                "sudo does not let you run the helper",
                "you are not in the group imagewright, or joined it after this login",
                f"sudo usermod --append --groups imagewright {pwd.getpwuid(os.getuid()).pw_name}",
            )
        )
    return tuple(found)


def namespace() -> tuple[int, Mapping]:
    """A user namespace of the caller's that the helper made: an open descriptor, and its map. Raises HostError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            try:
                done = subprocess.run(
                    ["sudo", "-n", str(PROGRAM)],
                    stdin=theirs.fileno(),
                    capture_output=True,
                    text=True,
                    check=False,
                    cwd="/",
                )
            except FileNotFoundError as error:
                raise _fault("sudo is not here", "", "sudo apt-get install sudo") from error
        received = None if done.returncode else wire.receive(ours)
    if received is None or not received[1]:
        said = done.stderr.strip().rsplit("\n", 1)[-1]
        raise _fault("the helper made no user namespace", said or "it said nothing", "imagewright doctor")
    answer, (descriptor, *_others) = received
    uids, gids = (tuple((int(a), int(b), int(c)) for a, b, c in answer[kind]) for kind in ("uids", "gids"))
    return descriptor, Mapping(uids=uids, gids=gids)


def _of_program() -> HostError | None:
    if not installed():
        return _fault(f"{PROGRAM} is not there", "", INSTALL)
    for path in (PROGRAM, *PROGRAM.parents):
        status = path.lstat()
        if status.st_uid != 0 or status.st_mode & 0o022 or stat.S_ISLNK(status.st_mode):
            return _fault(f"{path} is not root's alone to write", "who can change it can become root", INSTALL)
    if not PROGRAM.stat().st_mode & stat.S_IXUSR:
        return _fault(f"{PROGRAM} cannot be run", "its mode is not 0755", INSTALL)
    try:
        with PROGRAM.open("rb") as stream:
            found = _digest(stream)
    except PermissionError:
        return _fault(f"{PROGRAM} cannot be read", "its mode is not 0755", INSTALL)
    if found != DIGEST:
        return _fault(
            f"{PROGRAM} is not the helper of this version", f"its SHA-256 is {found[:16]}…, not {DIGEST[:16]}…", INSTALL
        )
    return None


def _of_rule() -> HostError | None:
    """Ordinary users may not read the rule, and in a folder that is closed not even see it."""
    try:
        status = RULE.lstat()
    except FileNotFoundError:
        return _fault(f"{RULE} is not there", "", INSTALL)
    except PermissionError:
        return None
    if (status.st_uid, status.st_gid, status.st_mode) != (0, 0, stat.S_IFREG | 0o440):
        return _fault(f"{RULE} is not a file of root's with mode 0440", "sudo refuses such a rule", INSTALL)
    try:
        text = RULE.read_text(encoding="utf-8", errors="replace")
    except PermissionError:
        return None
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    if tuple(" ".join(line.split()) for line in lines) != rule(DIGEST):
        return _fault(f"{RULE} is not the rule of this version", "it is older, or somebody changed it", INSTALL)
    return None


def rule(digest: str) -> tuple[str, str]:
    """The two lines of the rule, without remarks and continuations; ``digest`` is the program's."""
    return (
        f"Defaults!{PROGRAM} env_reset, !env_keep, !env_check, !setenv, !use_pty, !requiretty, "
        "!log_input, !log_output, !closefrom_override, closefrom=3",
        f'%imagewright ALL = (root:root) NOPASSWD: NOSETENV: sha256:{digest} {PROGRAM} ""',
    )


def _allowed() -> bool:
    """Whether sudo lets the caller run it without a password."""
    if not shutil.which("sudo"):
        return False
    done = subprocess.run(
        ["sudo", "-n", "-l", str(PROGRAM)], stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd="/"
    )
    return done.returncode == 0


def _digest(stream: IO[bytes]) -> str:
    return hashlib.sha256(stream.read(1 << 20)).hexdigest()


def _fault(message: str, cause: str, hint: str) -> HostError:
    return HostError("namespace-helper", message, cause=cause, hint=hint)
