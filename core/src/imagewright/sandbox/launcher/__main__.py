"""The launcher: a small process that makes one user namespace and runs jobs in it, each in namespaces of its own.

Standard library only, one thread: a process with threads cannot leave its user namespace. It keeps the caller's own
ids until a job's files are opened, since those may lie where mapped root cannot go. It dies when its socket closes or
the builder is gone, and every job dies with it.

::

    builder ── launcher        the caller's ids; makes the user namespace
                └── keeper     makes a job's mount, PID, IPC, UTS and network namespaces; becomes mapped root
                     └── init  process 1 of the job: finishes the mounts, reaps, and ends everything with the worker
                          └── worker  the program, or the Python function
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
from typing import Any, NoReturn

from imagewright.sandbox import syscalls, wire
from imagewright.sandbox.jobs import TARGET, WORK
from imagewright.sandbox.launcher import views
from imagewright.sandbox.launcher.stack import mount_stack
from imagewright.sandbox.launcher.watching import Watch, record_in
from imagewright.sandbox.launcher.worker import tell, work

KILLED = 128 + signal.SIGKILL


class _Orders:
    """The builder's end of the conversation: its socket, and the process itself."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self._builder: int | None = None
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN | select.POLLHUP)

    def watch(self, builder: int) -> None:
        """Also notice the end of the builder by its pidfd: somebody else may hold its socket."""
        self._builder = builder
        self._poll.register(builder, select.POLLIN)

    def close(self) -> None:
        """Leave the conversation to the launcher: a job must not reach the builder."""
        self.channel.close()
        if self._builder is not None:
            os.close(self._builder)

    def next(self, child: int | None = None) -> tuple[dict[str, Any], list[int]] | str:
        """The next message, or "gone"; "ended" as soon as the process of the pidfd ``child`` has ended."""
        if child is not None:
            self._poll.register(child, select.POLLIN)
        try:
            ready = {descriptor for descriptor, _event in self._poll.poll()}
        finally:
            if child is not None:
                self._poll.unregister(child)
        if self._builder in ready:
            return "gone"
        if child in ready:
            return "ended"
        return wire.receive(self.channel) or "gone"


def main() -> None:
    """Serve jobs until the other end of the socket, whose number is the first argument, is gone.

    The other arguments are modules to import while the builder is not ready.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    orders = _Orders(socket.socket(fileno=int(sys.argv[1])))
    for module in sys.argv[2:]:
        with contextlib.suppress(Exception):  # the builder names it again, and is told what is wrong with it
            importlib.import_module(module)
    first = orders.next()
    if isinstance(first, str):
        return
    setup, (builder,) = first
    orders.watch(builder)
    sys.path.extend(folder for folder in setup["path"] if folder not in sys.path)
    for module in setup["preload"]:
        try:
            importlib.import_module(module)
        except Exception as error:
            wire.send(orders.channel, {"module": module, "error": f"{type(error).__name__}: {error}"})
            return
    if not _enter_namespace(orders):
        return
    # a job's process 1 whose keeper was killed is waited for here, and with it all that ran in its namespace
    syscalls.adopt_orphans()
    wire.send(orders.channel, {"pid": os.getpid()})
    if isinstance(orders.next(), str):
        return
    if setup["separated"]:
        # every job that does not get a network of its own is in this one
        syscalls.unshare(syscalls.CLONE_NEWNET)
        syscalls.bring_loopback_up()
        wire.send(orders.channel, {"network": os.getpid()})
    os.umask(0o022)
    # a root caller's Python may lie where mapped root cannot go
    code = views.closed_to_strangers([sys.prefix, sys.base_prefix, *sys.path]) if setup["shifted"] else []
    given = {name: setup[name] for name in ("work", "kept", "homes", "shown", "memory", "separated")}
    gc.freeze()
    while not isinstance(received := orders.next(), str):
        job, descriptors = received
        if job.get("kill"):  # the job ended before the message came, or never started
            _answer(orders, {"killed": True})
        else:
            _serve(orders, {**given, **job, "code": code}, descriptors)


def _enter_namespace(orders: _Orders) -> bool:
    """Make the user namespace; where the host refuses, enter the one that the builder had made, if it has one."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
    except OSError as error:
        wire.send(orders.channel, {"error": error.strerror, "errno": error.errno})
        received = orders.next()
        if isinstance(received, str):
            return False
        _message, (namespace,) = received
        syscalls.enter(namespace, syscalls.CLONE_NEWUSER)
        os.close(namespace)
    return True


def _serve(orders: _Orders, job: dict[str, Any], descriptors: list[int]) -> None:
    launcher = os.getpid()
    keeper = os.fork()
    if keeper == 0:
        try:
            orders.close()
            _keep(job, descriptors, launcher)
        except Exception as error:
            with contextlib.suppress(OSError):
                _refuse(descriptors[1], f"{type(error).__name__}: {error}", 0, "launcher")
        finally:
            os._exit(70)
    for descriptor in descriptors:
        os.close(descriptor)
    handle = os.pidfd_open(keeper)
    answer = orders.next(handle)
    if answer != "ended":
        os.kill(keeper, signal.SIGKILL)
    os.close(handle)
    status = _wait_for_all(keeper)
    if job["stack"] is not None:
        shutil.rmtree(f"{job['work']}/layers/{_passing(keeper)}", ignore_errors=True)
    if answer == "gone":
        os._exit(0)
    _answer(orders, {"status": status})
    if answer != "ended":
        _answer(orders, {"killed": True})


def _answer(orders: _Orders, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the builder's end is noticed at the next order
        wire.send(orders.channel, message)


def _wait_for_all(keeper: int) -> int:
    """Wait until nothing of a job is left; the exit status, 128+N for signal N."""
    status = KILLED
    while True:
        try:
            pid, raw = os.wait()
        except ChildProcessError:
            return status
        if pid == keeper:
            status = _status(raw)


def _status(raw: int) -> int:
    code = os.waitstatus_to_exitcode(raw)
    return code if code >= 0 else 128 - code


def _passing(keeper: int) -> str:
    """The folder beside the layers that lasts as long as a job."""
    return f".job-{keeper}"


def _keep(job: dict[str, Any], descriptors: list[int], launcher: int) -> NoReturn:
    """Make the job's namespaces and view, and stay outside its PID namespace until it ends."""
    syscalls.die_with_parent(signal.SIGKILL)
    output, result = descriptors[0], descriptors[1]
    stdin = descriptors[2] if len(descriptors) > 2 else os.open("/dev/null", os.O_RDONLY)
    stage = "namespaces"
    try:
        flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
        syscalls.unshare(flags | (0 if job["network"] else syscalls.CLONE_NEWNET))
        stage = "files"
        reached = views.Reached(job)
        stage = "namespaces"
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        syscalls.make_dumpable()
        # the change of ids undid it; the launcher may have died meanwhile
        syscalls.die_with_parent(signal.SIGKILL)
        if os.getppid() != launcher:
            os._exit(KILLED)
        if not job["network"]:
            syscalls.bring_loopback_up()
        socket.sethostname("localhost")
        stage = "mounts"
        views.park(reached)
        if job["stack"] is not None:
            stage = "layers"
            resolver = job["inside"] and job["network"] and bool(reached.names)
            targets = [bind["target"] for bind in job["binds"]]
            passing = _passing(os.getpid())
            mount_stack(job["stack"], passing, inside=job["inside"], resolver=resolver, binds=targets)
        # opened now: the job's root is this process's too once it has changed
        record = record_in(WORK, job["record"]) if job.get("record") else None
        watch = None if record is None else Watch(TARGET)
    except OSError as error:
        _refuse(result, _said(error), error.errno, stage)
        os._exit(1)
    leash, held = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(held)
        if watch is not None and record is not None:
            watch.forget()
            os.close(record)
        _be_init(job, output, result, stdin, leash)
    for descriptor in (output, result, stdin, leash):
        os.close(descriptor)
    if watch is not None and record is not None:
        watch.follow(os.pidfd_open(first))
        with contextlib.suppress(OSError):  # what is cut short is no record
            watch.write(record)
    os._exit(_status(os.waitpid(first, 0)[1]))


def _be_init(job: dict[str, Any], output: int, result: int, stdin: int, leash: int) -> NoReturn:
    """Be process 1 of the job: start it, reap what it leaves, and end everything with it."""
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        watch = select.poll()
        watch.register(leash, select.POLLHUP)
        if watch.poll(0):  # the keeper died before the line above
            os._exit(KILLED)
        os.close(leash)
        if job["inside"]:
            views.dress_inside(job["binds"], network=job["network"])
        else:
            views.dress_outside(job["binds"], private=views.is_private(job))
    except OSError as error:
        _refuse(result, _said(error), error.errno, "view")
        os._exit(1)
    worker = os.fork()
    if worker == 0:
        work(job, output, result, stdin)
    # a job at a terminal prints nothing here: that this end closes says that the job is over
    for descriptor in (result, stdin) if job.get("terminal") else (output, result, stdin):
        os.close(descriptor)
    while True:
        pid, raw = os.wait()
        if pid == worker:
            os._exit(min(_status(raw), 255))


def _refuse(result: int, text: str, number: int | None, stage: str) -> None:
    """Tell the builder that a job's view cannot be made."""
    tell(result, json.dumps({"setup": text, "errno": number or 0, "stage": stage}).encode())


def _said(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)


if __name__ == "__main__":
    main()
