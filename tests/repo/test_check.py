"""The program that runs the gates: what it counts, and when it lets a test run a second time."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).resolve().parents[2]

SHAKY = """
from pathlib import Path
import pytest

def test_that_came_too_late_once():
    before = Path("before.txt")
    seen = before.exists()
    before.touch()
    assert seen

@pytest.mark.parametrize("name", ["a.b::c"])
def test_that_holds(name):
    pass
"""
BROKEN = """
import pytest

@pytest.fixture
def gone():
    yield
    raise RuntimeError("left something behind")

def test_that_holds(gone):
    pass

@pytest.mark.skip(reason="somebody else's")
def test_of_somebody_else():
    pass
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, over a folder of tests of its own."""
    loader = SourceFileLoader("imagewright_check", str(TOP / "scripts" / "check"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, loader.name, module)
    loader.exec_module(module)
    monkeypatch.setattr(module, "TOP", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return module


def test_a_test_that_holds_alone_is_named_and_no_failure(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_shaky.py").write_text(SHAKY)
    outcome = check.pytest("-n", "2", ".")
    assert (outcome.ok, outcome.passed, outcome.failed) == (True, 2, 0)
    assert outcome.second == {"test_shaky::test_that_came_too_late_once"}
    check.show([("unit", outcome, 1.0)])
    said = capsys.readouterr().out
    assert "failed, and passed the second time, alone: test_shaky::test_that_came_too_late_once" in said
    assert said.endswith("\n2 passed, 0 failed, 0 skipped\n")


def test_what_is_broken_fails_twice_and_keeps_its_gate_closed(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_shaky.py").write_text(SHAKY)
    (tmp_path / "test_broken.py").write_text(BROKEN)
    outcome = check.pytest("-n", "2", ".")
    assert (outcome.ok, outcome.passed, outcome.failed) == (False, 1, 2)
    assert outcome.skips == {"test_broken::test_of_somebody_else": "somebody else's"}
    assert outcome.second == frozenset()


def test_failures_in_many_files_are_no_accident(check: ModuleType, tmp_path: Path) -> None:
    for number in range(check.FEW_FILES + 1):
        (tmp_path / f"test_{number}.py").write_text(SHAKY.replace("before.txt", f"before{number}.txt"))
    outcome = check.pytest(".")
    assert (outcome.ok, outcome.failed) == (False, check.FEW_FILES + 1)


def test_no_test_at_all_is_a_failure(check: ModuleType, tmp_path: Path) -> None:
    outcome = check.pytest(".")
    assert (outcome.ok, outcome.passed, outcome.failed) == (False, 0, 1)


STOPPED = (
    SHAKY
    + """
def test_that_stops_all():
    pytest.exit("no more", returncode=3)

def test_that_is_broken():
    assert False
"""
)


def test_a_run_that_was_cut_short_is_a_failure(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_stopped.py").write_text(STOPPED)
    outcome = check.pytest(".")
    assert (outcome.ok, outcome.second) == (False, frozenset())


def test_files_that_cannot_be_read_are_no_accident(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_unreadable.py").write_text("import no_such_module\n")
    outcome = check.pytest(".")
    assert (outcome.ok, outcome.failed, outcome.second) == (False, 1, frozenset())


def test_a_test_that_is_skipped_the_second_time_has_not_passed(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_shaky.py").write_text(
        SHAKY.replace("    assert seen", "    assert not seen or pytest.skip('x')\n    assert seen")
    )
    outcome = check.pytest(".")
    assert (outcome.ok, outcome.failed) == (False, 1)
