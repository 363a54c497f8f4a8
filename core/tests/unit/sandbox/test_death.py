"""However the builder or its launcher dies, nothing of a job is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from imagewright.errors import HostError
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import Job, Stack

CLINGING = """
sleep {mark} &
nohup sleep {mark} > /dev/null 2>&1 &
setsid sh -c 'trap "" HUP TERM INT; sleep {mark}; sleep {mark}' &
(setsid sh -c '(sleep {mark} > /dev/null 2>&1 &)' &)
sleep 0.2; echo ready; sleep {mark}
"""

BUILDER = """
import os, signal, sys, time
from pathlib import Path
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import Job, Stack

work, script, manner = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
# a shell's background jobs inherit an interrupt that is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
sandbox = Sandbox.open(work)
sandbox.own(work / "layers" / "base")
if manner == "held":
    # somebody who inherited the builder's socket lives on
    if os.fork() == 0:
        os.close(1)
        time.sleep(20)
        os._exit(0)
if manner == "terminate":
    signal.signal(signal.SIGTERM, lambda number, frame: sandbox.terminate())
job = Job(argv=("/bin/sh", "-c", script), environment={"PATH": "/bin"},
          stack=Stack(lower=("base",), upper="top"), inside=manner != "outside")


def take(line):
    print(line, flush=True)
    if manner == "exit" and line == "ready":
        os._exit(0)


try:
    sandbox.run(job, take)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    print(sandbox.run(Job(argv=("true",), environment={"PATH": os.environ["PATH"]}), take), flush=True)
    sandbox.close()
except Exception as error:
    print(type(error).__name__, error.reference, flush=True)
    sandbox.close()
"""


def with_mark(mark: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if mark in line and state not in "ZX" and "BUILDER" not in line and "Sandbox.open" not in line:
                found.append(f"{entry.name}: {line}")
    return found


def in_namespace(namespace: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "ns" / "user") == namespace:
                    found.append(entry.name)
            except OSError:
                continue
    return found


def eventually(nothing, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while (left := nothing()) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def mark() -> str:
    return f"7{os.getpid()}.{time.monotonic_ns() % 10**9}"


@pytest.fixture
def builder(work: Path, mark: str, sandbox_works: None) -> Iterator:
    started: list[subprocess.Popen[str]] = []

    def start(manner: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
        process = subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(work), CLINGING.format(mark=mark), manner],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    eventually(lambda: with_mark(mark))
    with Sandbox.open(work) as sandbox:
        sandbox.remove(work / "layers")


@pytest.mark.parametrize("manner", ["inside", "outside", "held"])
def test_a_killed_builder_leaves_no_process_mount_or_namespace(builder, work: Path, mark: str, manner: str) -> None:
    mounts = set(Path("/proc/self/mountinfo").read_text().splitlines())
    process = builder(manner)
    (launcher,) = [pid for pid in children(process.pid) if b"launcher" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    namespace = os.readlink(f"/proc/{launcher}/ns/user")
    eventually(lambda: [] if len(with_mark(mark)) >= 5 else ["some have not started"])
    assert len(in_namespace(namespace)) >= 7
    process.kill()
    process.wait()
    eventually(lambda: with_mark(mark))
    eventually(lambda: in_namespace(namespace))
    assert launcher not in [int(line.partition(":")[0]) for line in with_mark("imagewright.sandbox.launcher")]
    # others of the machine may mount meanwhile what they like
    added = set(Path("/proc/self/mountinfo").read_text().splitlines()) - mounts
    assert [line for line in added if str(work) in line or " overlay " in line] == []


def test_a_builder_that_just_ends_leaves_nothing(builder, mark: str) -> None:
    assert builder("exit").wait(120) == 0
    eventually(lambda: with_mark(mark))


def test_a_killed_launcher_takes_its_jobs_along_and_is_one_clear_error(builder, mark: str) -> None:
    process = builder("inside")
    (launcher,) = children(process.pid)
    os.kill(launcher, signal.SIGKILL)
    assert process.stdout.readline() == "HostError launcher-gone\n"
    assert process.wait(120) == 0
    eventually(lambda: with_mark(mark))


def test_a_killed_keeper_takes_its_job_along(builder, mark: str) -> None:
    process = builder("inside")
    (launcher,) = children(process.pid)
    (keeper,) = children(launcher)
    os.kill(keeper, signal.SIGKILL)
    assert process.wait(120) == 0
    eventually(lambda: with_mark(mark))


def test_an_interrupt_ends_the_job_and_the_sandbox_goes_on(builder, mark: str) -> None:
    process = builder("inside")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert process.stdout.readline() == "0\n"
    assert process.wait(120) == 0
    assert with_mark(mark) == []


def test_an_interrupt_at_any_moment_leaves_the_sandbox_in_step(bench) -> None:
    working = False

    def interrupt(number: int, frame: object) -> None:
        if working:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for number in range(16):
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + number * 0.003)
            try:
                working = True
                bench.sh("echo x; echo y")
                working = False
            except KeyboardInterrupt:
                working = False
                interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert bench.sh(f"echo {number}; exit {number}") == number
            assert bench.lines == [str(number)]
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 2


def test_the_terminals_interrupt_reaches_the_builder_alone(builder) -> None:
    process = builder("inside")
    (launcher,) = children(process.pid)
    assert os.getsid(launcher) != os.getsid(process.pid)
    assert os.getpgid(launcher) != os.getpgid(process.pid)


def test_a_signal_handler_may_terminate_the_sandbox(builder, mark: str) -> None:
    process = builder("terminate")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "HostError launcher-gone\n"
    assert process.wait(120) == 0
    assert with_mark(mark) == []


def test_what_a_job_leaves_running_ends_with_it(bench, mark: str) -> None:
    assert bench.out(f"(setsid nohup sleep {mark} > /dev/null 2>&1 &); echo done") == "done"
    assert with_mark(mark) == []


def test_process_1_reaps_orphans(bench) -> None:
    script = """
    for i in 1 2 3 4 5; do (sh -c 'sleep 0.1 &' &); done
    for i in $(seq 300); do
        sleep 0.2
        left=$(grep -lE '^(State:.Z|Name:.sleep)' /proc/[0-9]*/status 2>/dev/null) || break
    done
    echo $left end
    """
    assert bench.out(script) == "end"


def test_a_sandbox_outlives_the_thread_that_opened_it(work: Path, sandbox_works: None) -> None:
    opened: list[Sandbox] = []
    thread = threading.Thread(target=lambda: opened.append(Sandbox.open(work)))
    thread.start()
    thread.join()
    time.sleep(0.3)
    with opened[0] as sandbox:
        job = Job(argv=("true",), environment={"PATH": os.environ["PATH"]}, stack=Stack(lower=("base",)))
        assert sandbox.run(job, print) == 0


def test_a_closed_sandbox_says_so(work: Path, sandbox_works: None) -> None:
    sandbox = Sandbox.open(work)
    sandbox.close()
    sandbox.close()
    with pytest.raises(HostError, match="launcher of the sandbox ended"):
        sandbox.run(Job(argv=("true",)), print)
