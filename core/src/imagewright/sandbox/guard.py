"""A process of its own that runs one program of the caller's on the host and outlives neither it nor the builder.

What runs in namespaces ends with them; what runs on the host would go on after a builder that was killed. So the
program runs below this guard, which is told of the builder's end by a pipe, adopts whatever the program started
(PR_SET_CHILD_SUBREAPER, prctl(2)), and ends all of it. It is run as a file and imports the standard library only.

Usage: guard.py DESCRIPTOR PROGRAM [ARGUMENT]...  (the read end of a pipe that only the builder writes to)
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 10.0  # seconds for what cannot be killed, such as a process of another user


def main() -> int:
    """Run the program and return its exit status, 128+N if signal N ended it, 126 or 127 if it cannot start."""
    builder, argv = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(builder, False)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        # Python ignores these, and a program would inherit that
        child = os.posix_spawnp(argv[0], argv, os.environ, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ])
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        return 127 if isinstance(error, FileNotFoundError) else 126
    descriptor = os.pidfd_open(child)
    poll = select.poll()
    poll.register(builder, select.POLLIN | select.POLLHUP)
    poll.register(descriptor, select.POLLIN)
    ended = {number for number, _ in poll.poll()}
    status = 128 + signal.SIGKILL
    if descriptor in ended:
        status = _exit_status(os.waitpid(child, 0)[1])
    _end_all()
    return status


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _end_all() -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        below = _below(os.getpid())
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _below(top: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                    # PID (NAME) STATE PARENT ..., see proc_pid_stat(5); a name may hold anything
                    parent = int(stat.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    left = children.get(top, [])
    while left:
        pid = left.pop()
        found.append(pid)
        left += children.get(pid, [])
    return found


if __name__ == "__main__":
    # whoever waits for its end does not wait for Python's too
    os._exit(main())
