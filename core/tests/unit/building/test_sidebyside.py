"""Builds side by side, with functions in their place: the processes and their pipes are the real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.building.sidebyside import Ended, Finished, Work, run_side_by_side
from imagewright.errors import HostError
from imagewright.events import Event, Monitor, Notice, StepFinished

PATIENCE = 60.0


class Recorder:
    """Keeps what it is told, and may act on it."""

    def __init__(self, on_event: Callable[[str, Event], None] = lambda name, event: None) -> None:
        self.order: list[str] = []
        self.events: dict[str, list[Event]] = {}
        self.ends: list[Ended] = []
        self._on_event = on_event

    def begun(self, name: str) -> None:
        self.order.append(name)

    def handle(self, name: str, event: Event) -> None:
        self.events.setdefault(name, []).append(event)
        self._on_event(name, event)

    def ended(self, ended: Ended) -> None:
        self.ends.append(ended)

    def tick(self) -> None:
        pass


def finished(name: str) -> Finished:
    return Finished(paths=(Path(name),), seconds=1.0, log=Path("log"))


def wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end, f"{path} was awaited in vain"
        time.sleep(0.01)


def simple(name: str, steps: tuple[tuple[str, str], ...] = ()) -> Work:
    def run(monitor: Monitor) -> Finished:
        monitor.handle(Notice(message=f"{name} runs in {os.getpid()}"))
        return finished(name)

    return Work(name=name, run=run, steps=steps)


def test_each_build_runs_in_a_process_of_its_own_and_its_events_arrive() -> None:
    recorder = Recorder()
    ends = run_side_by_side([simple("a"), simple("b")], recorder, jobs=2, fail_fast=False)
    assert [(end.name, end.ending, end.finished) for end in ends] == [
        ("a", "done", finished("a")),
        ("b", "done", finished("b")),
    ]
    said = {str(event) for events in recorder.events.values() for event in events}
    assert len(said) == 2
    assert not any(str(os.getpid()) in text for text in said)


def test_two_builds_run_at_the_same_time_and_a_third_waits_for_its_turn(tmp_path: Path) -> None:
    def meeting(name: str, other: str) -> Work:
        def run(monitor: Monitor) -> Finished:
            (tmp_path / name).touch()
            wait_for(tmp_path / other)
            assert not (tmp_path / "third").exists()
            # the third begins when one of the two ends, which must not be before the other has looked
            (tmp_path / f"{name} looked").touch()
            wait_for(tmp_path / f"{other} looked")
            return finished(name)

        return Work(name=name, run=run)

    def last(monitor: Monitor) -> Finished:
        (tmp_path / "third").touch()
        return finished("c")

    # a and b would wait for each other in vain if they ran one after the other
    works = [meeting("a", "b"), meeting("b", "a"), Work(name="c", run=last)]
    ends = run_side_by_side(works, Recorder(), jobs=2, fail_fast=False)
    assert [end.ending for end in ends] == ["done"] * 3


def failing(name: str) -> Work:
    def run(monitor: Monitor) -> Finished:
        raise HostError("no-room", "no room", where=("here",), cause="full", hint="free some", option="output")

    return Work(name=name, run=run)


def test_a_build_that_fails_stops_no_other_and_its_error_arrives_whole() -> None:
    ends = run_side_by_side([failing("a"), simple("b"), simple("c")], Recorder(), jobs=1, fail_fast=False)
    assert [end.ending for end in ends] == ["failed", "done", "done"]
    error = ends[0].error
    assert isinstance(error, HostError)
    assert (error.reference, error.message, error.where) == ("no-room", "no room", ("here",))
    assert (error.cause, error.hint, error.option) == ("full", "free some", "output")


def test_with_fail_fast_the_others_are_stopped_and_clean_up(tmp_path: Path) -> None:
    def long(monitor: Monitor) -> Finished:
        (tmp_path / "begun").touch()
        try:
            time.sleep(PATIENCE)
        finally:
            (tmp_path / "cleaned").touch()
        return finished("long")

    def failing_later(monitor: Monitor) -> Finished:
        wait_for(tmp_path / "begun")
        raise HostError("no-room", "no room")

    works = [Work(name="long", run=long), Work(name="bad", run=failing_later), simple("last")]
    ends = run_side_by_side(works, Recorder(), jobs=2, fail_fast=True)
    assert [end.ending for end in ends] == ["stopped", "failed", "not begun"]
    assert (tmp_path / "cleaned").exists()


def test_a_build_that_is_killed_is_a_failure_that_says_so() -> None:
    def run(monitor: Monitor) -> Finished:
        os.kill(os.getpid(), signal.SIGKILL)
        return finished("never")

    ends = run_side_by_side([Work(name="a", run=run), simple("b")], Recorder(), jobs=1, fail_fast=False)
    assert [end.ending for end in ends] == ["failed", "done"]
    assert ends[0].error is not None
    assert "SIGKILL" in ends[0].error.message


def test_a_build_that_would_wait_for_another_ones_steps_is_begun_after_those_that_need_not(tmp_path: Path) -> None:
    def first(monitor: Monitor) -> Finished:
        wait_for(tmp_path / "go")
        return finished("first")

    def go(name: str, event: Event) -> None:
        if name == "other":
            (tmp_path / "go").touch()

    base = (("root/10", "k1"), ("install/10", "k2"))
    works = [
        Work(name="first", run=first, steps=(*base, ("install/20", "k3"))),
        simple("sharing", (*base, ("install/20", "k4"))),
        simple("other", (("root/10", "x1"),)),
    ]
    recorder = Recorder(go)
    run_side_by_side(works, recorder, jobs=2, fail_fast=False)
    assert recorder.order == ["first", "other", "sharing"]


def test_steps_that_a_build_has_finished_are_no_reason_to_wait(tmp_path: Path) -> None:
    def first(monitor: Monitor) -> Finished:
        monitor.handle(StepFinished(phase="root", step="10", status="done", seconds=0.0))
        wait_for(tmp_path / "other")
        return finished("first")

    def blocker(monitor: Monitor) -> Finished:
        wait_for(tmp_path / "first")
        return finished("blocker")

    def mark(name: str, event: Event) -> None:
        (tmp_path / name).touch()

    shared = (("root/10", "k1"),)
    works = [
        Work(name="first", run=first, steps=shared),
        Work(name="blocker", run=blocker),
        simple("sharing", shared),
        simple("other"),
    ]
    recorder = Recorder(mark)
    run_side_by_side(works, recorder, jobs=2, fail_fast=False)
    assert recorder.order == ["first", "blocker", "sharing", "other"]


SCRIPT = """
import os, sys, time
from pathlib import Path
from imagewright.building.sidebyside import Work, run_side_by_side
from imagewright.cli.render.many import SilentWatcher

folder = Path(sys.argv[1])

def work(name):
    def run(monitor):
        (folder / f"{name}.{os.getpid()}").touch()
        try:
            time.sleep(60)
        finally:
            (folder / f"{name}.cleaned").touch()
    return Work(name=name, run=run)

run_side_by_side([work("a"), work("b")], SilentWatcher(), jobs=2, fail_fast=False)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_who_ends_the_run_ends_all_builds_and_they_clean_up(tmp_path: Path, number: signal.Signals) -> None:
    run = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while len(list(tmp_path.glob("[ab].*"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    run.send_signal(number)
    run.wait(PATIENCE)
    for name in ("a", "b"):
        wait_for(tmp_path / f"{name}.cleaned")
