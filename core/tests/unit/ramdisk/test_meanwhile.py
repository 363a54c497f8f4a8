"""A computation in a process of its own gives what it would have given here, and what it raises."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import pytest
from imagewright.ramdisk.meanwhile import meanwhile


@pytest.fixture(autouse=True)
def _two_processors_and_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    # a process of pytest-xdist has a thread that waits for orders
    monkeypatch.setattr(threading, "active_count", lambda: 1)


def test_it_runs_in_another_process_and_its_result_comes_back() -> None:
    asked = meanwhile(lambda: (os.getpid(), {"name": b"x" * 3_000_000}))
    pid, made = asked()
    assert (pid != os.getpid(), made) == (True, {"name": b"x" * 3_000_000})
    assert asked() is asked()


def test_with_threads_or_one_processor_it_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert meanwhile(os.getpid)() == os.getpid()
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert meanwhile(os.getpid)() == os.getpid()


def test_a_process_that_is_killed_is_made_up_for() -> None:
    here = os.getpid()

    def compute() -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), 9)
        return 42

    assert meanwhile(compute)() == 42


def test_who_never_asks_waits_for_nobody_and_keeps_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _turn in range(20):
        meanwhile(lambda: b"x" * (1 << 20))
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


IGNORING = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from imagewright.ramdisk.meanwhile import meanwhile
os.cpu_count = lambda: 2
print(meanwhile(lambda: 6 * 7)())
"""


def test_who_ignores_the_ends_of_children_gets_the_result_too() -> None:
    done = subprocess.run([sys.executable, "-c", IGNORING], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("42\n", "")


def test_an_error_is_raised_again_whenever_the_result_is_asked_for() -> None:
    asked = meanwhile(lambda: int("no number"))
    for _turn in range(3):
        with pytest.raises(ValueError, match="no number"):
            asked()
