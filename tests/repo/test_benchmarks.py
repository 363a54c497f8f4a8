"""What the benchmarks share: costs of whole process trees, and the page of results."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def folder(top: Path) -> Iterator[Path]:
    sys.path.insert(0, str(top / "benchmarks"))
    yield top / "benchmarks"
    sys.path.remove(str(top / "benchmarks"))


def loaded(folder: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_a_cost_counts_what_orphans_did_and_held(folder: Path) -> None:
    measuring = loaded(folder, "measuring")
    orphan = "import time\nheld = b'x' * 60_000_000\nwhile time.process_time() < 0.5: pass\n"
    cost = measuring.measured(["sh", "-c", f'{sys.executable} -c "$1" & exec true', "sh", orphan])
    assert cost.cpu >= 0.3
    assert cost.memory >= 60_000_000


def test_a_cost_counts_what_was_written(folder: Path, tmp_path: Path) -> None:
    measuring = loaded(folder, "measuring")
    cost = measuring.measured(["dd", "if=/dev/zero", f"of={tmp_path / 'file'}", "bs=1M", "count=8"])
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    held = max((words for words in mounts if tmp_path.is_relative_to(words[1])), key=lambda words: len(words[1]))
    if held[2] in ("ext4", "xfs"):
        assert cost.written >= 8 * 2**20
    elif held[2] == "tmpfs":
        assert cost.written < 2**20


def test_a_command_that_fails_shows_its_last_lines(folder: Path, tmp_path: Path) -> None:
    measuring = loaded(folder, "measuring")
    with pytest.raises(SystemExit, match="no such thing"):
        measuring.measured(["sh", "-c", "echo no such thing; exit 3"], log=tmp_path / "log")


def test_the_page_has_a_line_for_each_target_and_one_for_each_way(folder: Path) -> None:
    measuring, run = loaded(folder, "measuring"), loaded(folder, "run")
    cost = measuring.Cost(cpu=1.25, wall=0.5, memory=2**20, written=2**21)
    row = measuring.row("plan", "at most 1 s", met=False, value="2 s", note="slow", ours=cost, their_way=cost)
    page = run.page([{"name": "plan", "date": "2026-01-01", "machine": {"cores": "2"}, "runs": 3, "rows": [row]}])
    assert "| plan | at most 1 s | 2 s | **missed** |" in page
    assert "| plan | their way | 1.25 | 0.50 | 1 | 2 |" in page
    assert "2026-01-01; runs 3; cores 2." in page
    assert "- slow" in page


def test_every_benchmark_that_is_run_is_there_and_the_page_names_no_machine(folder: Path) -> None:
    run = loaded(folder, "run")
    assert [one.name for one in run.BENCHMARKS if not one.script.exists()] == []
    assert not re.search(r"/(home|root|srv|work)/", (folder / "RESULTS.md").read_text())
