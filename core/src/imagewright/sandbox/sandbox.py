"""The one door to the namespaces: a build opens a sandbox, runs jobs in it, and closes it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from imagewright import errors
from imagewright.errors import ContractError, HostError, ImagewrightError, StepFailed
from imagewright.sandbox import helper, lines, privacy, wire
from imagewright.sandbox.jobs import WORK, Job, PythonJob
from imagewright.sandbox.limits import Limits
from imagewright.sandbox.mapping import Mapping, mapping_of_caller, write_mapping
from imagewright.sandbox.terminal import Line, Terminal

_NO_MEMORY = ("MemoryError", "Cannot allocate memory", "cannot allocate memory", "failed to map segment")
"""What Python and the loader of libraries say where there is no memory."""

_DOCTOR = "imagewright doctor says what is wrong and what mends it"


class Sandbox:
    """One user namespace with its launcher; not for use by two threads at once.

    Layers are folders below ``layers`` in the work folder; one that is a job's ``upper`` is made if it is not there.
    What a job writes is not synchronised to the disk: who keeps a layer beyond the build does that.
    Renaming a folder that lies in a lower layer gives EXDEV. A root caller's ids mean nobody inside: what root stages
    for a job must be readable for everybody, or be given to root inside by :meth:`own`.
    """

    def __init__(
        self,
        work: Path,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        complaints: IO[bytes],
        mapping: Mapping,
        kept: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._work = work
        self._kept = kept
        self._process = process
        self._channel = channel
        self._complaints = complaints
        self._mapping = mapping
        self._limits = limits or Limits()

    @classmethod
    def open(
        cls, work: Path, *, preload: Sequence[str] = (), kept: Path | None = None, limits: Limits | None = None
    ) -> Self:
        """Start a launcher for the work folder; modules of ``preload`` are imported as the caller.

        ``kept`` is a folder of layers that outlive the build, which jobs may read and nobody else but the caller.
        ``limits`` are those of each job but one at a terminal, which has no limit of time and output.

        Raises HostError if this host makes no namespaces for the caller, ContractError if a module does not load.
        """
        mapping = mapping_of_caller()
        (work / "layers").mkdir(exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the sandbox
        with theirs:
            process = subprocess.Popen(
                # -P: no file of the current folder is taken for a module
                [sys.executable, "-P", "-m", "imagewright.sandbox.launcher", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # a job could open its process 1's descriptors: the caller's terminal is not among them
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                # a session of its own: ^C of the terminal reaches the build alone
                start_new_session=True,
                env=_launcher_environment(),
            )
        sandbox = cls(work, process, ours, complaints, mapping, kept, limits)
        try:
            sandbox._introduce(preload)
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def _introduce(self, preload: Sequence[str]) -> None:
        """Have the launcher make its namespace, and map its ids."""
        modules = ["imagewright.sandbox.chores", *preload]
        root = os.getuid() == 0
        hidden = privacy.homes(os.environ)
        builder = os.pidfd_open(os.getpid())
        try:
            setup = {
                "path": sys.path,
                "preload": modules,
                "work": str(self._work.absolute()),
                "kept": str(self._kept.absolute()) if self._kept else None,
                "shifted": root,
                "homes": hidden,
                "shown": privacy.needed(os.environ, hidden),
                "memory": self._limits.memory,
                "separated": False,
            }
            wire.send(self._channel, setup, [builder])
        except OSError as error:
            raise self._gone() from error
        finally:
            os.close(builder)
        answer = self._answer()
        if "module" in answer:
            if any(words in answer["error"] for words in _NO_MEMORY):
                raise HostError(
                    "no-memory",
                    "there is not enough memory for the sandbox",
                    cause=f"{answer['module']} does not load: {answer['error']}",
                    hint="end other programs, raise the limit, or build where there is more",
                )
            raise ContractError(
                "module-not-loaded", f"the module {answer['module']} does not load", cause=answer["error"]
            )
        made_by_helper = "pid" not in answer and os.getuid() != 0 and helper.installed()
        if made_by_helper:
            namespace, self._mapping = helper.namespace()
            try:
                wire.send(self._channel, {}, [namespace])
            finally:
                os.close(namespace)
            answer = self._answer()
        if "pid" not in answer:
            raise HostError(
                "no-user-namespaces",
                f"the host makes no user namespace for you: {answer['error']}",
                cause="they are switched off, or a container or a security module forbids them",
                hint=_DOCTOR,
            )
        if not made_by_helper:
            write_mapping(self._process.pid, self._mapping)
        # mapped root makes files in both; a group that they hand on must be one that is mapped
        for folder in (self._work, self._work / "layers"):
            os.chown(folder, *self._mapping.root)
            os.chmod(folder, stat.S_IMODE(folder.stat().st_mode) & ~stat.S_ISGID)
        if self._kept is not None and os.getuid() == 0:
            with contextlib.suppress(OSError):  # of a cache that cannot be written
                os.chown(self._kept, *self._mapping.root)
        wire.send(self._channel, {"mapped": True})

    def _answer(self) -> dict[str, Any]:
        received = wire.receive(self._channel)
        if received is None:
            raise self._gone()
        return received[0]

    def __enter__(self) -> Self:
        """The sandbox itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the launcher and everything that runs in it; when this returns nothing of it is left."""
        self._channel.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._complaints.close()

    def terminate(self) -> None:
        """Have the launcher and everything that runs in it end, without waiting; for signal handlers too."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def run(self, job: Job, on_output: Callable[[str], None]) -> int:
        """Run a program to its end; its exit status, 128+N if signal N killed it, 127 if there is no such program.

        Output and errors come as lines, as they are printed. Raises HostError if the job's view cannot be made.
        """
        document = {**asdict(job), "binds": _binds(job.binds)}
        del document["stdin"]
        with contextlib.ExitStack() as held:
            stdin = [held.enter_context(job.stdin.open("rb")).fileno()] if job.stdin else []
            status, result = self._serve(document, stdin, on_output)
        if result is not None:
            raise no_view(result)
        return status

    def attach(self, job: Job, terminal: Terminal) -> int:
        """Run a program at a terminal of its own, which the caller's ``terminal`` shows; the status as of :meth:`run`.

        Its own terminal is that of what it prints too. Raises HostError if the job's view cannot be made.
        """
        document = {**asdict(job), "binds": _binds(job.binds), "terminal": True}
        del document["stdin"]
        with contextlib.closing(Line(terminal)) as line:
            # the job may open it by its name
            os.fchown(line.inner, self._mapping.root[0], -1)
            status, result = self._serve(document, [line.inner], lambda line: None, line.follow)
        if result is not None:
            raise no_view(result)
        return status

    def call(self, job: PythonJob, on_output: Callable[[str], None]) -> object:
        """Call a Python function as mapped root outside the tree; what it returns.

        Raises the ImagewrightError that the function raises, OSError for one of the system's, and StepFailed for
        anything else that ends it; its traceback is then among the output.
        """
        document = {**asdict(job), "binds": _binds(job.binds), "inside": False}
        status, result = self._serve(document, [], on_output)
        if result is None:
            raise StepFailed(
                "function-ended", f"the function {job.function} ended with status {status} and said nothing"
            )
        if "setup" in result:
            raise no_view(result)
        return value_of(result, job.function)

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
        self,
        document: dict[str, Any],
        stdin: list[int],
        on_output: Callable[[str], None],
        follow: Callable[[int, int], bytes] | None = None,
    ) -> tuple[int, dict[str, Any] | None]:
        output, output_end = os.pipe()
        result, result_end = os.pipe()
        # whoever a job becomes may open /dev/stdout and /dev/stderr
        os.fchmod(output_end, 0o666)
        try:
            try:
                wire.send(self._channel, document, [output_end, result_end, *stdin])
            except OSError as error:
                raise self._gone() from error
            finally:
                os.close(output_end)
                os.close(result_end)
            answer = (follow or partial(lines.follow, on_output=on_output, limits=self._limits))(output, result)
            ended = wire.receive(self._channel)
        except BaseException:
            self._abort()
            raise
        finally:
            os.close(output)
            os.close(result)
        if ended is None:
            raise self._gone()
        return int(ended[0]["status"]), json.loads(answer) if answer else None

    def _abort(self) -> None:
        """Kill the job that may be running and wait for its end; whoever interrupts that loses the launcher."""
        try:
            with contextlib.suppress(OSError):
                wire.send(self._channel, {"kill": True})
                # the job's status may come first
                while (received := wire.receive(self._channel)) is not None and "killed" not in received[0]:
                    pass
        except BaseException:
            self.terminate()
            raise

    def _gone(self) -> HostError:
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        if self._complaints.closed:
            return HostError("launcher-gone", "the launcher of the sandbox ended", cause="the sandbox was closed")
        self._complaints.seek(0)
        last = self._complaints.read().decode(errors="replace").strip().rsplit("\n", 1)[-1]
        return HostError(
            "launcher-gone",
            "the launcher of the sandbox ended",
            cause=last or "something killed it, perhaps for want of memory",
        )


def _launcher_environment() -> dict[str, str]:
    """What Python needs to start, and nothing else: jobs can read the environment of their process 1."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "LD_LIBRARY_PATH") or name.startswith(("PYTHON", "COVERAGE", "COV_"))
    }
    folders = os.pathsep.join(folder for folder in sys.path if folder)
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONPATH": folders}


def _two_names(names: list[str]) -> tuple[Any, ...]:
    return (names[0], None, names[1]) if len(names) > 1 else tuple(names)


def _binds(binds: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"source": str(bind.source.absolute()), "target": bind.target, "read_only": bind.read_only} for bind in binds
    ]


def no_view(result: dict[str, Any]) -> OSError | HostError:
    """The error for a job whose view could not be made, from what its keeper or process 1 said."""
    number, stage, text = result["errno"], result["stage"], result["setup"]
    if number in (errno.ENOSPC, errno.EDQUOT) and stage != "namespaces":
        return OSError(number, os.strerror(number))
    causes = {
        "namespaces": "the kernel, a container or a security module forbids them",
        "files": "something that the step is to see is not there",
        "layers": "the work folder lies on a filesystem that takes no overlay layers, or a layer is not there",
    }
    return HostError(
        "no-sandbox-view",
        f"the sandbox cannot make a step's view of the files: {text}",
        where=(f"stage: {stage}",),
        cause=causes.get(stage, "a container with a masked /proc, or a security module, forbids mounts"),
        hint=f"{_DOCTOR}; --work-dir names another folder",
    )


def value_of(result: dict[str, Any], function: str) -> object:
    """What a function returned, from what the worker told of it; raises what it raised."""
    if "value" in result:
        return result["value"]
    if "raised" in result:
        raise _raised(result)
    if result.get("errno"):
        raise OSError(result["errno"], result["broken"], *_two_names(result["files"]))
    raise StepFailed(
        "function-failed",
        f"the function {function} failed: {result['broken']}",
        where=(f"place: {result['place']}",),
    )


def _raised(result: dict[str, Any]) -> ImagewrightError:
    kind = getattr(errors, result["raised"], StepFailed)
    made: ImagewrightError = kind(
        result["reference"],
        result["message"],
        where=tuple(result["where"]),
        cause=result["cause"],
        hint=result["hint"],
        option=result["option"],
    )
    return made
