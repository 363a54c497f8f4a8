"""What tests tried is counted under their names, and the last run of each counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.testing import reliability as reliability_module
from imagewright.testing.reliability import Recorder, Tally

TESTS = """
import pytest

def test_it(reliability):
    reliability.tried("inputs", "words", {number})

def test_it_does_not_hold(reliability):
    with reliability.trying("escapes", "holes"):
        pass
    with reliability.trying("escapes", "holes"):
        raise AssertionError

def test_it_is_skipped(reliability):
    pytest.skip("no such thing here")
"""


def test_the_counts_of_a_run_replace_those_of_the_run_before(tmp_path: Path) -> None:
    for number in (3, 5):
        (tmp_path / "test_them.py").write_text(TESTS.format(number=number))
        argv = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "-n", "2", "test_them.py"]
        subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False)
    good, bad = sorted(
        reliability_module.read(tmp_path / ".pytest_cache/d/reliability"), key=lambda one: "hold" in one.test
    )
    assert good.test == "test_them.py::test_it"
    assert good.counts == {("inputs", "words"): Tally(tried=5)}
    assert bad.counts == {("escapes", "holes"): Tally(tried=2, lost=1)}


def test_a_try_that_an_interrupt_ends_is_a_loss_and_the_interrupt_goes_on() -> None:
    recorder = Recorder(test="it")
    with pytest.raises(KeyboardInterrupt), recorder.trying("faults", "^C"):
        raise KeyboardInterrupt
    assert recorder.counts == {("faults", "^C"): Tally(tried=1, lost=1)}
