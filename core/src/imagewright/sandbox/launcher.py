"""The launcher: a small process that makes one user namespace and runs jobs in it, each in namespaces of its own.

Standard library only, one thread: a process with threads cannot leave its user namespace. It keeps the caller's own
ids until a job's files are bound, since those may lie where mapped root cannot go. It dies when its socket closes,
and every job dies with it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from imagewright.errors import ImagewrightError
from imagewright.sandbox import syscalls, views, wire

NOT_FOUND, NOT_EXECUTABLE = 127, 126


def main() -> None:
    """Serve jobs until the other end of the socket, whose number is the first argument, is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    received = wire.receive(channel)
    if received is None:
        return
    setup = received[0]
    sys.path.extend(folder for folder in setup["path"] if folder not in sys.path)
    try:
        for module in setup["preload"]:
            importlib.import_module(module)
        syscalls.unshare(syscalls.CLONE_NEWUSER)
    except (ImportError, OSError) as error:
        wire.send(channel, {"error": str(error), "errno": getattr(error, "errno", None) or 0})
        return
    wire.send(channel, {"pid": os.getpid()})
    if wire.receive(channel) is None:
        return
    os.umask(0o022)
    while (received := wire.receive(channel)) is not None:
        job, descriptors = received
        if job.get("kill"):  # the job ended before the message came
            continue
        _serve(channel, setup["work"], job, descriptors)


def _serve(channel: socket.socket, work: str, job: dict[str, Any], descriptors: list[int]) -> None:
    keeper = os.fork()
    if keeper == 0:
        with contextlib.suppress(BaseException):
            channel.close()
            _keep(work, job, descriptors)
        os._exit(70)
    for descriptor in descriptors:
        os.close(descriptor)
    status = _await(channel, keeper)
    wire.send(channel, {"status": status})


def _await(channel: socket.socket, pid: int) -> int:
    """Wait for a child's end; kill it when the build says so or is gone. Its exit status, 128+N for signal N."""
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(channel, select.POLLIN | select.POLLHUP)
    while True:
        ready = {descriptor for descriptor, _event in poll.poll()}
        if handle in ready:
            break
        message = wire.receive(channel)
        os.kill(pid, signal.SIGKILL)
        if message is None:
            os.waitpid(pid, 0)
            os._exit(0)
    os.close(handle)
    return _status(os.waitpid(pid, 0)[1])


def _status(raw: int) -> int:
    code = os.waitstatus_to_exitcode(raw)
    return code if code >= 0 else 128 - code


def _keep(work: str, job: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Make the job's namespaces and view, and stay outside its PID namespace until it ends."""
    syscalls.die_with_parent(signal.SIGKILL)
    output, result = descriptors[0], descriptors[1]
    stdin = descriptors[2] if len(descriptors) > 2 else os.open("/dev/null", os.O_RDONLY)
    try:
        flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
        syscalls.unshare(flags | (0 if job["network"] else syscalls.CLONE_NEWNET))
        reached = views.reach_as_caller(work, job["binds"])
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        syscalls.make_dumpable()
        syscalls.die_with_parent(signal.SIGKILL)
        if not job["network"]:
            syscalls.bring_loopback_up()
        socket.sethostname("localhost")
        views.park(*reached)
        views.mount_stack(job["stack"], inside=job["inside"])
    except OSError as error:
        _tell(result, {"setup": str(error), "errno": error.errno})
        os._exit(1)
    first = os.fork()
    if first == 0:
        _be_init(job, output, result, stdin)
    for descriptor in (output, result, stdin):
        os.close(descriptor)
    os._exit(_status(os.waitpid(first, 0)[1]))


def _be_init(job: dict[str, Any], output: int, result: int, stdin: int) -> NoReturn:
    """Be process 1 of the job: start it, reap what it leaves, and end everything with it."""
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        if job["inside"]:
            views.dress_inside(job["binds"], network=job["network"])
        else:
            views.dress_outside(job["binds"])
    except OSError as error:
        _tell(result, {"setup": str(error), "errno": error.errno})
        os._exit(1)
    worker = os.fork()
    if worker == 0:
        _work(job, output, result, stdin)
    for descriptor in (output, result, stdin):
        os.close(descriptor)
    while True:
        pid, raw = os.wait()
        if pid == worker:
            os._exit(min(_status(raw), 255))


def _work(job: dict[str, Any], output: int, result: int, stdin: int) -> NoReturn:
    os.setsid()
    os.dup2(stdin, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    if "function" in job:
        _call(job, result)
    os.closerange(3, 1 << 16)
    try:
        os.chdir(job["directory"])
        os.execvpe(job["argv"][0], job["argv"], job["environment"])  # noqa: S606 - argv as given
    except FileNotFoundError:
        _complain(f"{job['argv'][0]}: not found")
        os._exit(NOT_FOUND)
    except OSError as error:
        _complain(f"{job['argv'][0]}: {error.strerror}")
        os._exit(NOT_EXECUTABLE)


def _call(job: dict[str, Any], result: int) -> NoReturn:
    """Call a Python function and send what it returns, or the error it raises."""
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir("/")
    module, _, name = job["function"].partition(":")
    sys.stdout = sys.stderr = open(1, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115
    try:
        value = getattr(importlib.import_module(module), name)(**job["arguments"])
        _tell(result, {"value": value})
        os._exit(0)
    except ImagewrightError as error:
        _tell(
            result,
            {
                "raised": type(error).__name__,
                "reference": error.reference,
                "message": error.message,
                "where": list(error.where),
                "cause": error.cause,
                "hint": error.hint,
            },
        )
    except OSError as error:
        _tell(result, {"broken": str(error), "errno": error.errno})
    except BaseException as error:
        traceback.print_exc()
        sys.stdout.flush()
        _tell(result, {"broken": f"{type(error).__name__}: {error}"})
    os._exit(1)


def _tell(result: int, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    while data:
        data = data[os.write(result, data) :]


def _complain(text: str) -> None:
    os.write(2, f"{text}\n".encode())


if __name__ == "__main__":
    main()
