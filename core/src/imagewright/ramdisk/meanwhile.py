"""A computation in a process of its own, while this one goes on: in one process Python computes one thing at a time."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import BinaryIO, NoReturn, TypeVar

T = TypeVar("T")


def meanwhile(compute: Callable[[], T]) -> Callable[[], T]:
    """Begin to compute, and give what returns the result, which pickle must take, or raises what ``compute`` raises.

    The process ends by itself, whether anybody asks or not. Where there is no second processor, or a process would not
    be a whole copy of this one, or it fails, the result is computed when it is asked for.
    """
    if (os.cpu_count() or 1) < 2 or threading.active_count() > 1:
        return cache(compute)
    try:
        # a file, not a pipe: where nobody asks, nothing waits
        stream = open(os.memfd_create("result"), "w+b")  # noqa: SIM115 - closed with the last who may ask
        child = _forked(compute, stream)
    except OSError:
        return cache(compute)

    @cache
    def result() -> T:
        try:
            _child, status = os.waitpid(child, 0)
        except ChildProcessError:
            # who ignores the ends of children never hears how one ended
            status = -1
        if status:
            return compute()
        stream.seek(0)
        made: T = pickle.load(stream)  # noqa: S301 - our own process wrote it
        return made

    return result


def _forked(compute: Callable[[], object], stream: BinaryIO) -> int:
    """Start the process; its number. Raises OSError."""
    # a signal that came to the new process too early would have it clean up what belongs to this one
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        child = os.fork()
        if child == 0:
            _compute(compute, stream, before)
        return child
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _compute(compute: Callable[[], object], stream: BinaryIO, signals: Iterable[int]) -> NoReturn:
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        pickle.dump(compute(), stream)
        stream.flush()
        status = 0
    finally:
        os._exit(status)
