"""A job at a terminal: it has one of its own, with job control, and the caller's is as it was afterwards."""

from __future__ import annotations

import os
import termios
import threading
from collections.abc import Iterator

import pytest
from imagewright.sandbox.jobs import Job, Stack
from imagewright.sandbox.terminal import Terminal
from imagewright.testing.person import Person


@pytest.fixture
def person() -> Iterator[Person]:
    someone = Person()
    yield someone
    someone.leave()


def at(person: Person) -> Terminal:
    return Terminal(typed=person.screen, shown=person.screen)


def job(script: str, *, upper: str | None = None) -> Job:
    return Job(
        argv=("/bin/sh", "-c", script),
        environment={"PATH": "/bin", "TERM": "dumb", "PS1": "> "},
        stack=Stack(lower=("base",), upper=upper),
        inside=True,
    )


def test_what_is_typed_reaches_the_job_and_what_it_shows_the_person(bench, person: Person) -> None:
    person.at_work(("name?", "Ann\n"))
    status = bench.sandbox.attach(job("printf 'name? '; read -r name; echo \"so $name\"; exit 7"), at(person))
    assert status == 7
    person.wait_for("so Ann\r\n")


def test_a_key_that_interrupts_ends_the_running_program_and_not_the_shell(bench, person: Person) -> None:
    person.at_work(("> ", "echo be''gun; sleep 613\n"), ("begun", "\x03"), ("\n> ", "echo still''here; exit 3\n"))
    before = termios.tcgetattr(person.screen)
    assert bench.sandbox.attach(job("exec sh -i"), at(person)) == 3
    person.wait_for("stillhere")
    assert termios.tcgetattr(person.screen) == before


def test_the_jobs_terminal_is_as_large_as_the_persons_and_is_its_controlling_one(bench, person: Person) -> None:
    assert bench.sandbox.attach(job("echo to the terminal >/dev/tty; echo $(busybox stty size)"), at(person)) == 0
    person.wait_for("to the terminal\r\n")
    person.wait_for("33 101\r\n")


def test_the_job_cannot_reach_the_persons_own_terminal(bench, person: Person) -> None:
    own = os.ttyname(person.screen)
    bench.sandbox.attach(job(f"ls -l /proc/self/fd; [ -e {own} ] && echo reached || echo out of reach"), at(person))
    person.wait_for("out of reach")


def test_more_is_typed_than_the_job_reads_at_once_and_all_of_it_arrives(bench, person: Person) -> None:
    lines = "".join(f"{number:04} {'x' * 60}\n" for number in range(300))

    def paste() -> None:
        person.wait_for("ready")
        person.type(lines)

    threading.Thread(target=paste, daemon=True).start()
    script = "busybox stty -echo; echo ready; head -n 300 | wc -l"
    assert bench.sandbox.attach(job(script), at(person)) == 0
    person.wait_for("300\r\n")


def test_what_the_job_writes_is_in_its_layer(bench, person: Person) -> None:
    assert bench.sandbox.attach(job("echo kept >/word", upper="top"), at(person)) == 0
    assert (bench.layer("top") / "word").read_text() == "kept\n"
    assert bench.out("cat /word") == "kept"


def test_a_process_that_the_shell_leaves_behind_does_not_keep_the_person_waiting(bench, person: Person) -> None:
    assert bench.sandbox.attach(job("(sleep 614 &) ; echo done"), at(person)) == 0
    person.wait_for("done")
