"""A process that forks builders: each is a process of its own that runs a whole command, with a fault in it.

Python and the command's modules are loaded once, so that a build costs what it does and not the start of Python. It is
run as a program: ``builders.py DESCRIPTOR``, with a socket over which orders and answers go as JSON, one message each.

``{"do": "start", ...}`` forks a builder and answers with its process id. An order has ``argv``, ``environment``,
``folder`` (the current one), ``stdout`` and ``stderr`` (files), and may have

- ``signal``, ``at`` and ``number``: the signal comes before the so-manieth ``call`` that changes a file, or behind the
  so-manieth ``event`` of the build; ``again``: once more, so many calls later;
- ``mounts``: a view of the files of its own, in which a ``place`` is a filesystem of a ``size``, which may be
  ``stacked`` and takes no layers then, or cannot be written;
- ``memory`` and ``whose``: a limit of the address space, of the ``builder`` or of its ``children``;
- ``behind`` an event of the build: ``clock``, the seconds by which the time jumps, or ``gone``, a folder that vanishes;
- ``terminal``: the streams are a terminal of its own, which ``hang up`` takes away;
- ``counts``: a file that is told how many calls and events there were.

``{"do": "wait", "pid": N, "seconds": S}`` answers with the exit status, None if it still runs.
``{"do": "kill", "pid": N, "number": N}`` sends a signal.
``{"do": "left"}`` answers with the processes that builders left behind.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
CLONE_NEWNS = 0x00020000  # unshare(2)
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18  # mount(2)
LARGEST = 1 << 16

LOADED = (
    "imagewright.building.images.build", "imagewright.cli.app", "imagewright.cli.commands.disk_image",
    "imagewright.cli.main", "imagewright.cli.render.plain", "imagewright.testing.toy", "typer.main",
)  # fmt: skip
"""What every builder imports."""

LIBC = ctypes.CDLL(None, use_errno=True)

CHANGES = frozenset(
    {
        "fcntl.flock", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
        "os.symlink", "os.truncate", "os.utime", "shutil.rmtree", "subprocess.Popen", "tempfile.mkdtemp",
        "tempfile.mkstemp",
    }
)  # fmt: skip
"""The calls of a builder before which it may die (sys.audit events); files opened for writing count too."""


class Injector:
    """Counts what the builder does, and does the harm at its moment."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.counts = {"call": 0, "event": 0}
        self._at = (order["at"], order["number"]) if "signal" in order else None
        self._again = 0
        self._limited = False

    def install(self) -> None:
        from imagewright.cli.render.choose import Monitors

        handle = Monitors.handle

        def handled(monitors: Monitors, event: Any) -> None:
            handle(monitors, event)
            self.tick("event")

        Monitors.handle = handled  # type: ignore[method-assign]
        sys.addaudithook(self.audit)

    def audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        if self._limited:
            self._limited = False
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if name == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.tick("call")
        elif name in CHANGES:
            self.tick("call")
            if name == "subprocess.Popen" and self.order.get("whose") == "children":
                limit = self.order["memory"]
                resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
                self._limited = True

    def tick(self, kind: str) -> None:
        self.counts[kind] += 1
        number = self.counts[kind]
        if kind == "call" and self._again and number == self._again:
            self._again = 0
            os.kill(os.getpid(), self.order["signal"])
        if kind == "event" and number == self.order.get("behind"):
            if "clock" in self.order:
                real, jump = time.time, self.order["clock"]
                time.time = lambda: real() + jump
            if "gone" in self.order:
                shutil.rmtree(self.order["gone"])
        if self._at == (kind, number):
            self._at = None
            if self.order.get("again"):
                self._again = self.counts["call"] + self.order["again"]
            os.kill(os.getpid(), self.order["signal"])


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None) -> None:
    words = [word.encode() if word is not None else None for word in (source, target, kind, data)]
    if LIBC.mount(words[0], words[1], words[2], flags, words[3]):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def see_own_mounts(mounts: list[dict[str, Any]]) -> None:
    """A view of the files in which one place is small or cannot be written, for this process and those below it."""
    if LIBC.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE, None)
    for one in mounts:
        place = one["place"]
        if "size" in one:
            mount("tmpfs", place, "tmpfs", 0, f"size={one['size']},mode=755")
            if one.get("stacked"):  # no overlay takes such a place as its upper layer
                for name in ("lower", "upper", "work"):
                    os.mkdir(f"{place}/{name}")
                options = ",".join(f"{name}dir={place}/{name}" for name in ("lower", "upper", "work"))
                mount("overlay", place, "overlay", 0, options)
        else:
            mount(place, place, None, MS_BIND, None)
            mount("none", place, None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)


def become(order: dict[str, Any]) -> None:
    """Be the command that the order names, with its fault; does not return."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("stdout", "stderr"):
        Path(order[name]).touch()
    if "terminal" in order:
        # the first terminal that the leader of a session opens is its own
        files = [(order["terminal"], os.O_RDWR)] * 3
    else:
        files = [(os.devnull, os.O_RDONLY), (order["stdout"], os.O_WRONLY), (order["stderr"], os.O_WRONLY)]
    for number, (path, flags) in enumerate(files):
        descriptor = os.open(path, flags)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order["environment"])
    if order.get("mounts"):
        see_own_mounts(order["mounts"])
    os.chdir(order["folder"])
    injector = Injector(order)
    if "counts" in order:
        atexit.register(lambda: Path(order["counts"]).write_text(json.dumps(injector.counts)))
    if order.get("whose") == "builder":
        resource.setrlimit(resource.RLIMIT_AS, (order["memory"], resource.RLIM_INFINITY))
    from imagewright.cli import main

    program, *arguments = order["argv"]
    sys.argv = [program, *arguments]
    injector.install()
    getattr(main, program.replace("-", "_"))()


class Nursery:
    """The builders that run, and what became of those that ended."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._ended: dict[int, int] = {}
        self._terminals: dict[int, int] = {}

    def serve(self) -> None:
        while message := self._channel.recv(LARGEST):
            order = json.loads(message)
            if order["do"] == "start":
                answer: Any = {"pid": self._start(order)}
            elif order["do"] == "wait":
                answer = {"status": self._wait(order["pid"], order["seconds"])}
            elif order["do"] == "hang up":
                os.close(self._terminals.pop(order["pid"]))
                answer = {}
            elif order["do"] == "kill":
                # one that ended is not buried before it was waited for, so that its number is nobody else's
                if order["pid"] not in self._ended:
                    os.kill(order["pid"], order["number"])
                answer = {}
            else:
                answer = {"left": self._left()}
            answer["number of the order"] = order.get("number of the order")
            self._channel.send(json.dumps(answer).encode())

    def _start(self, order: dict[str, Any]) -> int:
        ours = theirs = -1
        if order.get("terminal"):
            ours, theirs = os.openpty()
            order["terminal"] = os.ttyname(theirs)
        pid = os.fork()
        if not pid:
            self._channel.close()
            for descriptor in (ours, theirs, *self._terminals.values()):
                if descriptor >= 0:
                    os.close(descriptor)
            become(order)
        # the kernel gives numbers again, also that of an orphan which was buried long ago
        self._ended.pop(pid, None)
        if ours >= 0:
            os.close(theirs)
            self._terminals[pid] = ours
        return pid

    def _wait(self, pid: int, seconds: float) -> int | None:
        if pid not in self._ended:
            descriptor = os.pidfd_open(pid)
            if not select.select([descriptor], [], [], seconds)[0]:
                os.close(descriptor)
                return None
            os.close(descriptor)
            self._ended[pid] = os.waitpid(pid, 0)[1]
        return os.waitstatus_to_exitcode(self._ended.pop(pid))

    def _left(self) -> list[str]:
        """The processes below this one, with their command lines; dead ones are buried."""
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._ended[found[0]] = found[1]
        except ChildProcessError:
            return []
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        lines = []
        for pid in children:
            try:
                lines.append(f"{pid} " + Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return lines


def main() -> None:
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for name in LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    Nursery(socket.socket(fileno=int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
