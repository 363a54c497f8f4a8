"""Watching what a builder leaves behind when it dies: processes, namespaces, mounts."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
KINDS = ("user", "mnt", "pid", "net")


def adopt_orphans(*, on: bool) -> None:
    """Make this process the parent of what its dead descendants leave, so that nothing can hide."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def descendants(pid: int | None = None) -> dict[int, str]:
    """Process ids with command lines, of everything below ``pid`` (this process if None)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found: dict[int, str] = {}
    left = list(children.get(pid or os.getpid(), ()))
    while left:
        one = left.pop()
        left += children.get(one, ())
        try:
            found[one] = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


def namespaces(pids: set[int]) -> set[str]:
    """The namespaces in which these processes are, without those of this process."""
    found: set[str] = set()
    for pid in pids:
        for kind in KINDS:
            try:
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
            except OSError:
                continue
    return found - {os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}


def alive(spaces: set[str]) -> set[str]:
    """Those of the namespaces in which any process of this machine still is."""
    pids = {int(entry.name) for entry in Path("/proc").glob("[0-9]*")}
    return namespaces(pids) & spaces


def reap() -> None:
    """Take note of the deaths of adopted processes."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for something; an AssertionError says what did not happen."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """What no build may change."""

    mounts: str
    resolv: bytes
    devices: tuple[tuple[str, int], ...]
    top: tuple[str, ...]

    @classmethod
    def now(cls) -> HostState:
        return cls(
            # in /dev/shm anybody may work meanwhile
            mounts="\n".join(
                line
                for line in Path("/proc/self/mountinfo").read_text().splitlines()
                if not line.split()[4].startswith("/dev/shm/")
            ),
            resolv=Path("/etc/resolv.conf").read_bytes() if Path("/etc/resolv.conf").exists() else b"",
            devices=tuple(
                sorted((entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in os.scandir("/dev"))
            ),
            top=tuple(sorted(os.listdir("/"))),
        )
