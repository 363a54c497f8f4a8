"""The one door to the namespaces: a build opens a sandbox, runs jobs in it, and closes it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from imagewright import errors
from imagewright.errors import HostError, ImagewrightError, StepFailed
from imagewright.sandbox import wire
from imagewright.sandbox.jobs import WORK, Job, PythonJob
from imagewright.sandbox.mapping import Mapping, mapping_of_caller, write_mapping

LONGEST_LINE = 8192
"""Longer lines of output are handed on in pieces of so many bytes."""


class Sandbox:
    """One user namespace with its launcher; not for use by two threads at once.

    Layers are folders below ``layers`` in the work folder. Renaming a folder that lies in a lower layer gives EXDEV.
    """

    def __init__(self, work: Path, process: subprocess.Popen[bytes], channel: socket.socket, mapping: Mapping) -> None:
        self._work = work
        self._process = process
        self._channel = channel
        self._mapping = mapping

    @classmethod
    def open(cls, work: Path, *, preload: Sequence[str] = ()) -> Self:
        """Start a launcher for the work folder; modules of ``preload`` are imported as the caller.

        Raises HostError if this host makes no namespaces for the caller.
        """
        mapping = mapping_of_caller()
        (work / "layers").mkdir(exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "imagewright.sandbox.launcher", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # a session of its own: ^C of the terminal reaches the build alone
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
            )
        sandbox = cls(work, process, ours, mapping)
        try:
            modules = ["imagewright.sandbox.chores", *preload]
            wire.send(ours, {"path": sys.path, "preload": modules, "work": str(work.absolute())})
            answer = wire.receive(ours)
            if answer is None or "pid" not in answer[0]:
                raise _refused(answer[0] if answer else {"error": "the launcher ended", "errno": 0})
            write_mapping(process.pid, mapping)
            if os.getuid() == 0:
                # mapped root makes files in both; an ordinary user is mapped root
                for folder in (work, work / "layers"):
                    os.chown(folder, *mapping.root)
            wire.send(ours, {"mapped": True})
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def __enter__(self) -> Self:
        """The sandbox itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the launcher and everything that runs in it."""
        self._channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def run(self, job: Job, on_output: Callable[[str], None]) -> int:
        """Run a program to its end; its exit status, 128+N if signal N killed it, 127 if there is no such program.

        Output and errors come as lines, as they are printed. Raises HostError if the job's view cannot be made.
        """
        document = {**asdict(job), "binds": _binds(job.binds)}
        del document["stdin"]
        with contextlib.ExitStack() as held:
            stdin = [held.enter_context(job.stdin.open("rb")).fileno()] if job.stdin else []
            status, result = self._serve(document, stdin, on_output)
        if result and "setup" in result:
            raise _no_view(result)
        return status

    def call(self, job: PythonJob, on_output: Callable[[str], None]) -> object:
        """Call a Python function as mapped root outside the tree; what it returns.

        Raises the ImagewrightError that the function raises, OSError for one of the system's, and StepFailed for
        anything else that ends it.
        """
        document = {**asdict(job), "binds": _binds(job.binds), "inside": False}
        status, result = self._serve(document, [], on_output)
        if result is None:
            raise StepFailed(
                "function-ended", f"the function {job.function} ended with status {status} and said nothing"
            )
        if "value" in result:
            return result["value"]
        if "setup" in result:
            raise _no_view(result)
        if "raised" in result:
            raise _raised(result)
        if result.get("errno"):
            raise OSError(result["errno"], result["broken"])
        raise StepFailed("function-failed", f"the function {job.function} failed: {result['broken']}")

    def own(self, path: Path) -> None:
        """Make a folder of the caller's, with what is in it, root's inside; an ordinary user's is that already."""
        if os.getuid() != 0:
            return
        uid, gid = self._mapping.root
        os.chown(path, uid, gid, follow_symlinks=False)
        if path.is_symlink() or not path.is_dir():
            return
        for current, folders, files in os.walk(path):
            for name in (*folders, *files):
                item = os.path.join(current, name)
                # a change of owner takes setuid bits away
                mode = os.lstat(item).st_mode
                os.chown(item, uid, gid, follow_symlinks=False)
                if mode & 0o6000 and not os.path.islink(item):
                    os.chmod(item, mode & 0o7777)

    def remove(self, path: Path) -> None:
        """Remove a file or folder of the work folder, whoever of the mapped owners its parts belong to."""
        if not os.path.lexists(path):
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(PermissionError):
                path.unlink()
        if os.path.lexists(path):
            inside = f"{WORK}/{path.relative_to(self._work)}"
            self.call(
                PythonJob(function="imagewright.sandbox.chores:remove", arguments={"path": inside}), lambda line: None
            )

    def _serve(
        self, document: dict[str, Any], stdin: list[int], on_output: Callable[[str], None]
    ) -> tuple[int, dict[str, Any] | None]:
        output, output_end = os.pipe()
        result, result_end = os.pipe()
        try:
            try:
                wire.send(self._channel, document, [output_end, result_end, *stdin])
            except OSError as error:
                raise HostError("launcher-gone", "the launcher of the sandbox ended", cause=str(error)) from error
            finally:
                os.close(output_end)
                os.close(result_end)
            try:
                answer = _follow(output, result, on_output)
            except BaseException:
                with contextlib.suppress(OSError):
                    wire.send(self._channel, {"kill": True})
                    wire.receive(self._channel)
                raise
            ended = wire.receive(self._channel)
        finally:
            os.close(output)
            os.close(result)
        if ended is None:
            raise HostError("launcher-gone", "the launcher of the sandbox ended", cause="it was killed")
        return int(ended[0]["status"]), json.loads(answer) if answer else None


def _follow(output: int, result: int, on_output: Callable[[str], None]) -> bytes:
    """Hand on what the job prints until nobody holds its output any more; what it sent as its result."""
    poll = select.poll()
    poll.register(output, select.POLLIN | select.POLLHUP)
    poll.register(result, select.POLLIN | select.POLLHUP)
    rest, answer, open_ends = b"", b"", 2
    while open_ends:
        for descriptor, _event in poll.poll():
            data = os.read(descriptor, 1 << 16)
            if not data:
                poll.unregister(descriptor)
                open_ends -= 1
            elif descriptor == result:
                answer += data
            else:
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    _say(line, on_output)
                while len(rest) > LONGEST_LINE:
                    _say(rest[:LONGEST_LINE], on_output)
                    rest = rest[LONGEST_LINE:]
    if rest:
        _say(rest, on_output)
    return answer


def _say(line: bytes, on_output: Callable[[str], None]) -> None:
    # a carriage return redraws a line on a terminal; the last state is what counts
    text = line.rstrip(b"\r").rsplit(b"\r", 1)[-1]
    for start in range(0, max(len(text), 1), LONGEST_LINE):
        on_output(text[start : start + LONGEST_LINE].decode(errors="replace"))


def _binds(binds: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"source": str(bind.source.absolute()), "target": bind.target, "read_only": bind.read_only} for bind in binds
    ]


def _refused(answer: dict[str, Any]) -> ImagewrightError:
    return HostError(
        "no-user-namespaces",
        f"the host makes no user namespace for you: {answer['error']}",
        cause="they are switched off, or a container or a security module forbids them",
        hint="imagewright doctor says what is wrong and what mends it",
    )


def _no_view(result: dict[str, Any]) -> BaseException:
    if result.get("errno") in (28, 122):  # ENOSPC, EDQUOT
        return OSError(result["errno"], result["setup"])
    return HostError(
        "no-sandbox-view",
        f"the sandbox cannot make a step's view of the files: {result['setup']}",
        cause="a container with a masked /proc, or a work folder on a filesystem that overlay mounts do not take",
        hint="imagewright doctor says what is wrong; --work-dir names another folder",
    )


def _raised(result: dict[str, Any]) -> ImagewrightError:
    kind = getattr(errors, result["raised"], StepFailed)
    made: ImagewrightError = kind(
        result["reference"],
        result["message"],
        where=tuple(result["where"]),
        cause=result["cause"],
        hint=result["hint"],
    )
    return made
