"""The view of a script that runs as the caller on the host: its own processes, no homes, no agents. Run as a file.

Usage: hostview.py VIEW PROGRAM [ARGUMENT]...

VIEW is JSON: ``package`` (the folder of Imagewright's code), ``homes`` (folders that are covered), ``shown`` (what of
them is there still, read only), ``writable``, ``scratch`` (for ``/tmp`` and ``/var/tmp``), ``directory``, ``memory``
(bytes), ``namespaces`` (descriptors of the build's ``user`` and ``network`` namespace). An ordinary caller keeps the
own uid in a user namespace below the build's; root stays root, without the capabilities to undo any of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Any, NoReturn

NO_VIEW, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127


def main() -> NoReturn:
    """Make the view, run the program in it, and end with its status; everything it started ends too."""
    view, argv = json.loads(sys.argv[1]), sys.argv[2:]
    sys.path.append(view["package"])
    from imagewright.sandbox import syscalls

    try:
        _enter(view)
        first = os.fork()
        if first == 0:
            syscalls.die_with_parent(signal.SIGKILL)
            _be_init(view, argv)
    except OSError as error:
        _complain(f"the view of a script on the host cannot be made: {error}")
        os._exit(NO_VIEW)
    os._exit(_status(os.waitpid(first, 0)[1]))


def _enter(view: dict[str, Any]) -> None:
    """Make the namespaces and the mounts."""
    from imagewright.sandbox import privacy, syscalls
    from imagewright.sandbox.launcher import views
    from imagewright.sandbox.resolver import resolver_text

    uid, gid = os.getuid(), os.getgid()
    names = view["namespaces"]
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    if uid:
        syscalls.enter(names["user"], syscalls.CLONE_NEWUSER)
    if "network" in names:
        syscalls.enter(names["network"], syscalls.CLONE_NEWNET)
    if uid:
        within = os.getuid(), os.getgid()
        syscalls.unshare(flags | syscalls.CLONE_NEWUSER)
        _put("/proc/self/setgroups", "deny")
        _put("/proc/self/uid_map", f"{uid} {within[0]} 1")
        _put("/proc/self/gid_map", f"{gid} {within[1]} 1")
    else:
        syscalls.unshare(flags)
    for number in names.values():
        os.close(number)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    shown = [(path, os.open(path, os.O_PATH)) for path in view["shown"]]
    writable = [(path, os.open(path, os.O_PATH)) for path in view["writable"]]
    scratch = [(at, os.open(path, os.O_PATH)) for at, path in zip(privacy.SCRATCH, view["scratch"], strict=True)]
    resolver, text = os.path.realpath("/etc/resolv.conf"), resolver_text(separated="network" in names)
    syscalls.make_read_only("/")
    for path, descriptor in scratch:
        privacy.show(path, descriptor, writable=True)
    privacy.cover(view["homes"], shown)
    for path, descriptor in writable:
        privacy.show(path, descriptor, writable=True)
    with contextlib.suppress(OSError):  # a home elsewhere, such as that of no account
        os.makedirs(os.environ.get("HOME", ""), 0o700, exist_ok=True)
    # agents, message buses and the sockets of services
    syscalls.mount("tmpfs", "/run", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=755")
    views.show_resolver(resolver, text)
    views.make_devices(group="")
    # by its name: the folder that was the current one until now is not of this view
    os.chdir(view["directory"])


def _be_init(view: dict[str, Any], argv: list[str]) -> NoReturn:
    """Be process 1: start the program without what it does not need, reap, and end everything with it."""
    from imagewright.sandbox import syscalls
    from imagewright.sandbox.launcher import walls

    try:
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        syscalls.mount("proc", "/proc", "proc", flags)
        # root's own files: settings of the kernel
        for name in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"):
            if os.path.exists(name):
                syscalls.mount(name, name, flags=syscalls.MS_BIND)
                syscalls.make_read_only(name)
        worker = os.fork()
        if worker == 0:
            os.setsid()
            walls.limit_memory(view["memory"])
            walls.gain_nothing()
            walls.filter_calls()
            walls.drop_capabilities("host")
            _execute(argv)
    except OSError as error:
        _complain(f"the view of a script on the host cannot be made: {error}")
        os._exit(NO_VIEW)
    while True:
        pid, raw = os.wait()
        if pid == worker:
            os._exit(_status(raw))


def _execute(argv: list[str]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - argv as given
    except OSError as error:
        _complain(f"{argv[0]}: {error.strerror}")
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def _status(raw: int) -> int:
    code = os.waitstatus_to_exitcode(raw)
    return min(code if code >= 0 else 128 - code, 255)


def _put(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
