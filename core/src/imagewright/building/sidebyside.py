"""Builds side by side, each in a process of its own; what happens in them comes back through pipes.

A process of its own, since a build changes its umask and what it can import. All of them end when whoever started
them does: they are signalled, clean up, and are waited for. One thread only, so that forking is safe.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

from imagewright.errors import ImagewrightError
from imagewright.events import Event, Monitor, StepFinished
from imagewright.sandbox.syscalls import die_with_parent

PATIENCE = 0.125
"""Seconds between two looks at the watcher's screen while nothing happens."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Ending = Literal["done", "failed", "stopped", "not begun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a build wrote, how long it took, and its log."""

    paths: tuple[Path, ...]
    seconds: float
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A build to run: ``run`` is called in the process of its own and may raise ImagewrightError.

    ``steps`` holds (name, key) of what it does, in order. Another build whose steps begin with the same keys waits for
    this one's, so it is better begun later than one that does not.
    """

    name: str
    run: Callable[[Monitor], Finished]
    steps: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a build ended: ``finished`` is set if it is done, ``error`` if it failed."""

    name: str
    ending: Ending
    finished: Finished | None = None
    error: ImagewrightError | None = None


class Watcher(Protocol):
    """Whoever watches several builds; none of the functions may raise."""

    def begun(self, name: str) -> None:
        """Take note that a build has its turn."""
        ...

    def handle(self, name: str, event: Event) -> None:
        """Take note of an event of a build."""
        ...

    def ended(self, ended: Ended) -> None:
        """Take note of a build's end."""
        ...

    def tick(self) -> None:
        """Draw, if that is what is done; called several times a second."""
        ...


def run_side_by_side(works: Sequence[Work], watcher: Watcher, *, jobs: int, fail_fast: bool) -> tuple[Ended, ...]:
    """Run all builds, at most ``jobs`` at a time, and say how each ended, in the order of ``works``.

    One that fails does not stop the others, unless ``fail_fast``. Raises nothing of its own: an interruption passes
    through when all of them have cleaned up.
    """
    pending, ends = list(works), {}
    running: list[_Running] = []
    try:
        while pending or running:
            while pending and len(running) < jobs:
                chosen = min(pending, key=lambda work: _shared(work, running))
                pending.remove(chosen)
                running.append(_Running.begin(chosen, running))
                watcher.begun(chosen.name)
            for end in _listen(running, watcher):
                ends[end.name] = end
                watcher.ended(end)
                if fail_fast and end.ending == "failed":
                    pending.clear()
                    _stop(running)
            watcher.tick()
    finally:
        with _undisturbed():
            _stop(running)
            while running:
                for end in _listen(running, watcher):
                    watcher.ended(end)
    return tuple(ends.get(work.name, Ended(name=work.name, ending="not begun")) for work in works)


def _shared(work: Work, running: Sequence[_Running]) -> int:
    """How many steps ``work`` would wait for, since a running build makes the same layers and has not finished."""
    return max((other.ahead_of(work) for other in running), default=0)


def _listen(running: list[_Running], watcher: Watcher) -> Iterator[Ended]:
    """Pass on what the builds tell; those that ended are yielded and leave the list."""
    ready = wait([one.connection for one in running], timeout=PATIENCE)
    for one in [one for one in running if one.connection in ready]:
        try:
            message = one.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            running.remove(one)
            yield one.end()
            continue
        if isinstance(message, Ended):
            one.last = message
        else:
            if isinstance(message, StepFinished):
                one.finished.add(f"{message.phase}/{message.step}")
            watcher.handle(one.work.name, message)


def _stop(running: Sequence[_Running]) -> None:
    for one in running:
        one.stop()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second signal does not break the clean-up that the first one began."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True, kw_only=True)
class _Running:
    """A build that runs, seen from outside."""

    work: Work
    process: BaseProcess
    connection: Connection
    finished: set[str] = field(default_factory=set)
    last: Ended | None = None
    stopped: bool = False

    @classmethod
    def begin(cls, work: Work, others: Sequence[_Running]) -> _Running:
        # a context of its own: the default may start a server process, whose death nobody would notice
        context = get_context("fork")
        here, there = context.Pipe(duplex=False)
        inherited = (here, *(other.connection for other in others))
        process = context.Process(target=_build, args=(work, there, inherited, os.getpid()), name=work.name)
        # a signal may come only when its handler is the build's own
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        there.close()
        return cls(work=work, process=process, connection=here)

    def ahead_of(self, work: Work) -> int:
        """The steps that both begin with and that this one has yet to finish."""
        common = 0
        for (name, key), (_name, other) in zip(self.work.steps, work.steps, strict=False):
            if key != other:
                break
            common += name not in self.finished
        return common

    def stop(self) -> None:
        """Ask the build to clean up and end."""
        if not self.stopped and self.process.pid is not None:
            self.stopped = True
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)

    def end(self) -> Ended:
        """How it ended, once its pipe is closed."""
        self.connection.close()
        self.process.join()
        code = self.process.exitcode or 0
        self.process.close()
        if self.last is not None:
            return self.last
        if self.stopped:
            return Ended(name=self.work.name, ending="stopped")
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        error = ImagewrightError(
            "build-killed",
            f"the process of the build was ended {how}",
            cause="somebody ended it, or the machine ran out of memory" if code < 0 else "",
            hint="`--jobs 1` builds one image after the other",
        )
        return Ended(name=self.work.name, ending="failed", error=error)


class _Stopped(BaseException):
    """A signal asked the build to end."""


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    for name in _SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    raise _Stopped


def _build(work: Work, connection: Connection, inherited: Sequence[Connection], builder: int) -> None:
    """Run one build in its own process and tell how it ended."""
    for other in inherited:
        other.close()
    end = Ended(name=work.name, ending="stopped")
    try:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _raise_stopped)
        die_with_parent(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if os.getppid() == builder:
            end = Ended(name=work.name, ending="done", finished=work.run(_Teller(connection)))
    except ImagewrightError as error:
        end = Ended(name=work.name, ending="failed", error=error)
    except _Stopped:
        pass
    with suppress(OSError):
        connection.send(_Sent(end))
        connection.close()


class _Teller:
    """The monitor in the build's process: every event goes through the pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def handle(self, event: Event) -> None:
        """Send the event. Whoever listened may be gone; then a signal is on its way."""
        with suppress(OSError):
            self._connection.send(event)


class _Sent:
    """An :class:`Ended` that can be pickled: exceptions are taken apart."""

    def __init__(self, end: Ended) -> None:
        self._end = end

    def __reduce__(self) -> tuple[Any, ...]:
        error = self._end.error
        parts = (
            (type(error), error.reference, error.message, error.where, error.cause, error.hint, error.option)
            if error is not None
            else None
        )
        return _put_together, (self._end.name, self._end.ending, self._end.finished, parts)


def _put_together(name: str, ending: Ending, finished: Finished | None, parts: tuple[Any, ...] | None) -> Ended:
    error = None
    if parts is not None:
        kind, reference, message, where, cause, hint, option = parts
        error = kind(reference, message, where=where, cause=cause, hint=hint, option=option)
    return Ended(name=name, ending=ending, finished=finished, error=error)
