"""A computation beside others, in a process of its own: in one process Python computes one thing at a time."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable
from functools import cache
from typing import TypeVar

T = TypeVar("T")


def beside(compute: Callable[[], T]) -> Callable[[], T]:
    """Begin to compute, and give what returns the result, which pickle must take; the process ends by itself.

    Where there is no second processor, or a process would not be a whole copy of this one, or it fails, the result is
    computed when it is asked for.
    """
    if (os.cpu_count() or 1) < 2 or threading.active_count() > 1:
        return cache(compute)
    try:
        # a file, not a pipe: nobody may ever ask, and nothing waits then
        place = os.memfd_create("result")
        child = os.fork()
    except OSError:
        return cache(compute)
    if child == 0:
        try:
            with open(place, "wb") as stream:
                pickle.dump(compute(), stream)
            os._exit(0)
        finally:
            os._exit(1)

    @cache
    def result() -> T:
        with open(place, "rb") as stream:
            _child, status = os.waitpid(child, 0)
            if status:
                return compute()
            stream.seek(0)
            made: T = pickle.load(stream)  # noqa: S301 - our own process wrote it
            return made

    return result
