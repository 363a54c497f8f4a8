"""Too little memory for the builder or for what it starts, and a clock that jumps."""

from __future__ import annotations

import os
import time

import pytest

from .harness import PATIENT, Bench

pytestmark = pytest.mark.timeout(PATIENT)

MIB = 2**20
YEAR = 365 * 86400


@pytest.mark.parametrize("whose", ["children", "builder"])
def test_too_little_memory(bench: Bench, whose: str) -> None:
    sizes = [8, 16, 20, 24, 28, 32, 40, 48, 64, 96]
    failed = 0
    for size in sizes:
        done = bench.strike(f"too little memory for {whose}", memory=size * MIB, whose=whose, statuses=(1, 4))
        failed += done.status != 0
        if done.status:
            assert "memory" in done.stderr.lower() or "launcher" in done.stderr, done.stderr
    assert failed > 0


@pytest.mark.parametrize("jump", [-30 * YEAR, -86400, -3600, 3600, 86400, 10 * YEAR])
def test_a_clock_that_jumps_during_a_build(bench: Bench, jump: int) -> None:
    events = bench.counts()["event"]
    for behind in (1, events // 2, events - 3):
        done = bench.strike("the clock jumps", clock=jump, behind=behind)
        assert done.status == 0, done.stderr


@pytest.mark.parametrize("jump", [-10 * YEAR, 10 * YEAR])
def test_a_cache_of_another_time(bench: Bench, jump: int) -> None:
    with bench.fault("a cache from the future or of long ago"):
        moment = time.time() + jump
        for folder, _folders, names in os.walk(bench.kit.cache):
            if "tree" not in folder.split(os.sep):
                for name in names:
                    os.utime(os.path.join(folder, name), (moment, moment))
        assert bench.run().status == 0
        bench.word()
