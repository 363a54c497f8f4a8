"""A computation in a process of its own gives what it would have given here, and what it raises."""

from __future__ import annotations

import os
import threading

import pytest
from imagewright.ramdisk.beside import beside


@pytest.fixture(autouse=True)
def _two_processors_and_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    # a process of pytest-xdist has a thread that waits for orders
    monkeypatch.setattr(threading, "active_count", lambda: 1)


def test_it_runs_in_another_process_and_its_result_comes_back() -> None:
    asked = beside(lambda: (os.getpid(), {"name": b"x" * 3_000_000}))
    pid, made = asked()
    assert (pid != os.getpid(), made) == (True, {"name": b"x" * 3_000_000})
    assert asked() is asked()


def test_with_threads_or_one_processor_it_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert beside(os.getpid)() == os.getpid()
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert beside(os.getpid)() == os.getpid()


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    asked = beside(lambda: int("no number"))
    with pytest.raises(ValueError, match="no number"):
        asked()


def test_a_process_that_is_killed_is_made_up_for() -> None:
    here = os.getpid()

    def compute() -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), 9)
        return 42

    assert beside(compute)() == 42


def test_who_never_asks_waits_for_nobody() -> None:
    for _turn in range(20):
        beside(lambda: b"x" * (1 << 20))
