"""The one door to the namespaces: a build opens a sandbox, runs jobs in it, and closes it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from imagewright.errors import ContractError, HostError, StepFailed
from imagewright.sandbox import helper, lines, privacy
from imagewright.sandbox.answers import DOCTOR, no_view, value_of
from imagewright.sandbox.jobs import WORK, Job, PythonJob
from imagewright.sandbox.limits import Limits
from imagewright.sandbox.link import Link, LinkFailed, Network, obstacle
from imagewright.sandbox.mapping import Mapping, mapping_of_caller, write_mapping
from imagewright.sandbox.resolver import local_servers, resolver_text
from imagewright.sandbox.starting import Launcher
from imagewright.sandbox.terminal import Line, Terminal

_NO_MEMORY = ("MemoryError", "Cannot allocate memory", "cannot allocate memory", "failed to map segment")
"""What Python and the loader of libraries say where there is no memory."""


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
        launcher: Launcher,
        mapping: Mapping,
        kept: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._work = work
        self._kept = kept
        self._launcher = launcher
        self._mapping = mapping
        self._limits = limits or Limits()
        self._separated = False
        self._link: Link | None = None
        self.shared = ""

    @classmethod
    def open(
        cls,
        work: Path,
        *,
        preload: Sequence[str] = (),
        kept: Path | None = None,
        limits: Limits | None = None,
        network: Network | None = None,
        launcher: Launcher | None = None,
    ) -> Self:
        """Start a launcher for the work folder; modules of ``preload`` are imported as the caller.

        ``launcher`` is one that was started ahead; it ends with the sandbox.
        ``kept`` is a folder of layers that outlive the build, which jobs may read and nobody else but the caller.
        ``limits`` are those of each job but one at a terminal, which has no limit of time and output. With ``network``
        jobs have a network apart from the host's, where the host has what it takes; else ``shared`` says what is
        missing.

        Raises HostError if this host makes no namespaces for the caller, or no network that must be;
        ContractError if a module does not load.
        """
        if network is None or not network.connected:
            return cls._open(work, preload, kept, limits, network, launcher)
        shared, reason = "", obstacle()
        if not reason:
            try:
                return cls._open(work, preload, kept, limits, network, launcher)
            except LinkFailed as error:
                shared, launcher = (reason := str(error)), None
        if network.must:
            raise HostError(
                "no-own-network",
                f"the build gets no network of its own here: {reason}",
                hint="sudo apt-get install passt; imagewright doctor says what else is in the way",
                option="network",
            )
        sandbox = cls._open(work, preload, kept, limits, None, launcher)
        sandbox.shared = shared
        return sandbox

    @classmethod
    def _open(
        cls,
        work: Path,
        preload: Sequence[str],
        kept: Path | None,
        limits: Limits | None,
        network: Network | None,
        launcher: Launcher | None,
    ) -> Self:
        mapping = mapping_of_caller()
        (work / "layers").mkdir(exist_ok=True)
        sandbox = cls(work, launcher or Launcher.start(), mapping, kept, limits)
        try:
            sandbox._introduce(preload, network)
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def _introduce(self, preload: Sequence[str], network: Network | None) -> None:
        """Have the launcher make its namespace, and map its ids."""
        modules = ["imagewright.sandbox.launcher.chores", *preload]
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
                "separated": network is not None,
            }
            self._launcher.send(setup, [builder])
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
                self._launcher.send({}, [namespace])
            finally:
                os.close(namespace)
            answer = self._answer()
        if "pid" not in answer:
            raise HostError(
                "no-user-namespaces",
                f"the host makes no user namespace for you: {answer['error']}",
                cause="they are switched off, or a container or a security module forbids them",
                hint=DOCTOR,
            )
        if not made_by_helper:
            write_mapping(self._launcher.pid, self._mapping)
        # mapped root makes files in both; a group that they hand on must be one that is mapped
        for folder in (self._work, self._work / "layers"):
            os.chown(folder, *self._mapping.root)
            os.chmod(folder, stat.S_IMODE(folder.stat().st_mode) & ~stat.S_ISGID)
        if self._kept is not None and os.getuid() == 0:
            with contextlib.suppress(OSError):  # of a cache that cannot be written
                os.chown(self._kept, *self._mapping.root)
        self._launcher.send({"mapped": True})
        if network is not None:
            self._answer()
            self._separated = True
        if network is not None and network.connected:
            resolver = local_servers(resolver_text(separated=True))
            self._link = Link.start(self._launcher.pid, network, resolver=resolver)

    def _answer(self) -> dict[str, Any]:
        received = self._launcher.receive()
        if received is None:
            raise self._gone()
        return received

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
        try:
            self._launcher.close()
        finally:
            if self._link is not None:
                self._link.close()

    def disconnect(self) -> None:
        """Let go of the network, which no later job may have; it ends while they run."""
        if self._link is not None:
            self._link.let_go()

    def terminate(self) -> None:
        """Have the launcher and everything that runs in it end, without waiting; for signal handlers too."""
        self._launcher.hang_up()

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

    @contextlib.contextmanager
    def namespaces(self) -> Iterator[dict[str, int]]:
        """Descriptors of the namespaces that a script on the host joins: ``network``, an ordinary caller's ``user``."""
        names = ({} if os.getuid() == 0 else {"user": "user"}) | ({"network": "net"} if self._separated else {})
        found = {}
        try:
            for name, kind in names.items():
                found[name] = os.open(f"/proc/{self._launcher.pid}/ns/{kind}", os.O_RDONLY)
            yield found
        finally:
            for descriptor in found.values():
                os.close(descriptor)

    @property
    def separated(self) -> bool:
        """Whether jobs have a network apart from the host's, connected or not."""
        return self._separated

    @property
    def limits(self) -> Limits:
        """Those of each job."""
        return self._limits

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

    def admit(self, path: Path) -> None:
        """Open a folder of the caller's to root inside and to nobody else; an ordinary user is root inside."""
        if os.getuid() == 0:
            os.chown(path, -1, self._mapping.root[1])
            path.chmod(0o750)
        else:
            path.chmod(0o700)

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
                PythonJob(function="imagewright.sandbox.launcher.chores:remove", arguments={"path": inside}),
                lambda line: None,
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
                self._launcher.send(document, [output_end, result_end, *stdin])
            except OSError as error:
                raise self._gone() from error
            finally:
                os.close(output_end)
                os.close(result_end)
            answer = (follow or partial(lines.follow, on_output=on_output, limits=self._limits))(output, result)
            ended = self._launcher.receive()
        except BaseException:
            self._abort()
            raise
        finally:
            os.close(output)
            os.close(result)
        if ended is None:
            raise self._gone()
        return int(ended["status"]), json.loads(answer) if answer else None

    def _abort(self) -> None:
        """Kill the job that may be running and wait for its end; whoever interrupts that loses the launcher."""
        try:
            with contextlib.suppress(OSError):
                self._launcher.send({"kill": True})
                # the job's status may come first
                while (received := self._launcher.receive()) is not None and "killed" not in received:
                    pass
        except BaseException:
            self.terminate()
            raise

    def _gone(self) -> HostError:
        last = self._launcher.last_words()
        cause = "the sandbox was closed" if last is None else last or "something killed it, perhaps for want of memory"
        return HostError("launcher-gone", "the launcher of the sandbox ended", cause=cause)


def _binds(binds: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"source": str(bind.source.absolute()), "target": bind.target, "read_only": bind.read_only} for bind in binds
    ]
