"""The commands of the tutorial work, in its order, as it shows them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.templates import Kind, files_of

BIN = Path(sys.executable).parent


def commands(page: Path) -> str:
    """The blocks that are marked ``sh run``, joined."""
    return "\n".join(re.findall(r"^```sh run\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of somebody who followed the tutorial, and what they saw."""
    folder = tmp_path_factory.mktemp("tutorial")
    text = commands(Path(__file__).resolve().parents[2] / "docs/tutorial.md")
    done = subprocess.run(
        ["sh", "-eu", "-c", text],
        cwd=folder,
        env={"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return folder, done.stdout


def test_every_command_of_the_tutorial_succeeds(followed: tuple[Path, str]) -> None:
    _, output = followed
    assert output.count("1 flavour checked: no findings") == 2
    assert "greeting.greeting" in output
    assert re.search(r"^greeting .*Greets whoever logs in", output, re.MULTILINE)


def test_the_missing_execute_bit_is_found(followed: tuple[Path, str]) -> None:
    _, output = followed
    assert "50-greeting: error: the script lacks its execute bit [execute-bit]" in output
    assert "\nfound\n" in output


def test_both_plans_hold_both_steps(followed: tuple[Path, str]) -> None:
    _, output = followed
    rows = re.findall(r"^install +(50-greeting|60-motto) +\S.*? +greeting ", output, re.MULTILINE)
    assert rows == ["50-greeting", "60-motto"] * 2


def test_the_script_that_the_tutorial_shows_is_the_one_that_is_made(top: Path) -> None:
    made = {entry.path: entry.content.decode() for entry in files_of(Kind.FOLDER, "greeting").entries}
    shown = re.sub(r"^    ", "", (top / "docs/tutorial.md").read_text(), flags=re.MULTILINE)
    assert made["install.d/50-greeting"] in shown
    for path in made:
        assert path.rpartition("/")[2] in shown
