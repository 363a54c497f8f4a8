"""A builder that is ended at any step, before any change of a file, or at any moment."""

from __future__ import annotations

import random
import signal
import time

import pytest

from .harness import PATIENT, Bench, Ended

pytestmark = pytest.mark.timeout(PATIENT)

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGKILL: -9}
"""The signals that end a builder, with its exit status."""

ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

signals = pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)


def some(seed: str, most: int, count: int) -> list[int]:
    """So many different numbers from 1 to ``most``, the same in every run."""
    return sorted(random.Random(seed).sample(range(1, most + 1), min(count, most)))


@signals
def test_a_builder_that_ends_at_any_step_boundary(bench: Bench, number: signal.Signals) -> None:
    for at in range(1, bench.counts()["event"] + 1):
        done = bench.strike(
            f"{number.name} at a step boundary", signal=number, at="event", number=at, statuses=(STATUS[number],)
        )
        assert_said(done, number)


@signals
def test_a_builder_that_ends_before_any_change_of_a_file(bench: Bench, number: signal.Signals) -> None:
    for at in some(number.name, bench.counts()["call"], 28):
        done = bench.strike(
            f"{number.name} before a change of a file", signal=number, at="call", number=at, statuses=(STATUS[number],)
        )
        assert_said(done, number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_a_builder_that_ends_where_nothing_has_changed(bench: Bench, number: signal.Signals) -> None:
    calls = bench.counts(unchanged=True)["call"]
    other = bench.turn - 1
    for at in some(f"unchanged {number.name}", calls, 30):
        # the image of this turn is in the cache, and that of another one is in its place
        bench.build(turn=other)
        earlier = bench.outputs()
        with bench.fault(f"{number.name} while an unchanged image is copied", next_turn=False):
            done = bench.run(signal=number, at="call", number=at)
            bench.check_end(done, earlier, (STATUS[number],))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_a_builder_that_ends_at_any_moment(bench: Bench, number: signal.Signals) -> None:
    begun = time.monotonic()
    bench.counts()
    whole = time.monotonic() - begun
    moments = random.Random(f"moments {number.name}")
    for _ in range(16):
        with bench.fault(f"{number.name} at a random moment"):
            earlier = bench.outputs()
            order = bench.order()
            pid = bench.begin(order)
            time.sleep(moments.random() * whole)
            bench.kill(pid, number)
            # before its first line and behind its last one Python leaves a signal to the kernel
            bench.check_end(bench.end(pid, order), earlier, (STATUS[number], -number))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_second_signal_while_the_builder_clears_up(bench: Bench, number: signal.Signals) -> None:
    chance = random.Random(f"twice {number.name}")
    for at in some(f"twice {number.name}", bench.counts()["event"], 12):
        done = bench.strike(
            f"{number.name} twice", signal=number, at="event", number=at, again=chance.randint(1, 12),
            statuses=(STATUS[number],),
        )  # fmt: skip
        assert_said(done, number)


def assert_said(done: Ended, number: signal.Signals) -> None:
    """Whoever is asked to end says so."""
    if number in ASKED and done.status:
        word = "interrupted" if number == signal.SIGINT else "terminated"
        assert done.stderr.splitlines()[-1] == word
