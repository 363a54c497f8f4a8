"""Two builders at once on the same cache and the same output, one of which may die."""

from __future__ import annotations

import random
import signal

import pytest

from .harness import PATIENT, WORDS, Bench

pytestmark = pytest.mark.timeout(PATIENT)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_a_second_builder_on_the_same_cache_and_output_while_the_first_ends(
    bench: Bench, number: signal.Signals
) -> None:
    chance = random.Random(f"at once {number.name}")
    calls = bench.counts()["call"]
    for same in (True, False) * 4:
        with bench.fault(f"{number.name} beside a second builder"):
            first = bench.order(signal=number, at="call", number=chance.randint(1, calls))
            second = bench.order(turn=bench.turn if same else bench.turn + 1)
            pids = [bench.begin(first), bench.begin(second)]
            dying, living = [bench.end(pid, order) for pid, order in zip(pids, (first, second), strict=True)]
            assert dying.status in (0, -9, 143), dying.stderr
            assert "Traceback" not in dying.stderr + living.stderr
            assert living.status == 0, living.stderr
            # what both left in the cache is right too
            bench.build(turn=bench.turn if same else bench.turn + 1)


def test_two_builders_that_both_go_to_their_end(bench: Bench) -> None:
    for same in (True, False) * 3:
        with bench.fault("a second builder on the same cache and output"):
            orders = [bench.order(), bench.order(turn=bench.turn if same else bench.turn + 1)]
            pids = [bench.begin(order) for order in orders]
            for pid, order in zip(pids, orders, strict=True):
                done = bench.end(pid, order)
                assert done.status == 0, done.stderr
            assert bench.word() in WORDS
            bench.build(turn=bench.turn if same else bench.turn + 1)
