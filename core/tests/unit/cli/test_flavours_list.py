"""The list looks at packs without running them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKS = Path(__file__).parents[4] / "tests/packs"


@pytest.fixture
def rows(shelf):
    """The rows of a list of the shelf, by name; the second of a name is left out."""

    def listed():
        done = subprocess.run(
            [Path(sys.executable).with_name("imagewright"), "flavours", "list", "--json"],
            env={"PATH": os.environ["PATH"], "HOME": str(shelf.root), "FLAVOURS_PATH": ":".join(map(str, shelf.paths))},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return {row["name"]: row for row in json.loads(done.stdout)["flavours"]}

    return listed


def test_no_code_of_a_pack_runs_for_the_list(shelf, rows):
    trace = shelf.root / "ran"
    source = f"open({str(trace)!r}, 'w')\nclass Own(Flavour):\n    summary = 'its own'\n"
    shelf.pack("listed-own", {"own": "Own"}, source, version="2.1")
    row = rows()["own"]
    assert (row["summary"], row["distribution"], row["version"], row["error"]) == ("its own", "listed-own", "2.1", "")
    assert not trace.exists()


def test_what_only_running_would_tell_is_marked(shelf, rows):
    shelf.pack("listed-made", {"made": "Made"}, "Made = type('Made', (Flavour,), {})")
    assert rows()["made"]["complete"] is False


@pytest.mark.parametrize(("pack", "error"), [("wrong-api", "written for version 2 of the contract"), ("oldest", "")])
def test_the_contract_of_a_pack_is_seen_without_loading_it(shelf, rows, pack, error):
    shelf.project(PACKS / {"oldest": "oldest-contract"}.get(pack, pack))
    assert error in rows()[pack]["error"]
    assert bool(rows()[pack]["error"]) is bool(error)


def test_a_name_found_twice_is_a_fault_of_both_rows(shelf, rows):
    shelf.flavour("own")
    shelf.pack("listed-twice", {"own": "Own"}, "class Own(Flavour): pass")
    assert "--override own=DIR" in rows()["own"]["error"]


def test_a_module_that_is_missing_is_a_fault_of_its_row_alone(shelf, rows):
    shelf.flavour("good", "summary = 'good'")
    shelf.pack("listed-lost", {"lost": "no_such_module_here:Lost"})
    found = rows()
    assert "there is no module no_such_module_here" in found["lost"]["error"]
    assert found["good"]["error"] == ""
