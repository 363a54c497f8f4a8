"""Output comes as lines, as they are printed."""

from __future__ import annotations

import time

import pytest


def test_lines_come_while_the_job_runs(bench) -> None:
    times: list[float] = []
    from imagewright.sandbox.jobs import Job, Stack

    job = Job(
        argv=("sh", "-c", "echo one; sleep 0.5; echo two"),
        environment={"PATH": "/bin"},
        stack=Stack(lower=("base",)),
        inside=True,
    )
    bench.sandbox.run(job, lambda line: times.append(time.monotonic()))
    assert len(times) == 2
    assert times[1] - times[0] > 0.3


def test_errors_are_among_the_output_and_bytes_that_are_no_text_are_marked(bench) -> None:
    assert bench.out("echo a; echo b >&2; printf 'c\\377d\\n'; printf end").splitlines() == ["a", "b", "c�d", "end"]


def test_a_line_that_is_redrawn_counts_as_it_is_in_the_end(bench) -> None:
    assert bench.out("printf '10%%\\r50%%\\r100%%\\r\\nnext\\r\\n'").splitlines() == ["100%", "next"]


def test_empty_lines_are_lines(bench) -> None:
    bench.out("echo; echo x; echo")
    assert bench.lines == ["", "x", ""]


def test_long_lines_come_in_pieces_that_split_no_character(bench) -> None:
    bench.out("i=0; while [ $i -lt 5000 ]; do printf 'aüü'; i=$((i+1)); done; echo; echo end")
    assert bench.lines[-1] == "end"
    assert "".join(bench.lines[:-1]) == "aüü" * 5000
    assert all(len(line.encode()) <= 8192 for line in bench.lines)


def test_much_output_arrives_whole(bench) -> None:
    bench.out("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done")
    assert bench.lines == [str(number) for number in range(20000)]


def test_a_failure_of_the_listener_ends_the_job_and_the_sandbox_goes_on(bench) -> None:
    from imagewright.sandbox.jobs import Job, Stack

    def fail(line: str) -> None:
        raise LookupError(line)

    job = Job(
        argv=("sh", "-c", "echo first; sleep 60"),
        environment={"PATH": "/bin"},
        stack=Stack(lower=("base",)),
        inside=True,
    )
    begun = time.monotonic()
    with pytest.raises(LookupError, match="first"):
        bench.sandbox.run(job, fail)
    assert time.monotonic() - begun < 20
    assert bench.out("echo again") == "again"
