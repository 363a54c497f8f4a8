"""What a command costs before it does anything."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).resolve().parents[2] / "core" / "pyproject.toml"
COMMANDS = {
    name: place.partition(":")[2] for name, place in tomllib.loads(PYPROJECT.read_text())["project"]["scripts"].items()
}
# Each costs tens of milliseconds and belongs inside the command that needs it.
BANNED = (
    "asyncio",
    "cryptography",
    "cyclonedx",
    "httpx",
    "importlib.metadata",
    "pluggy",
    "pydantic",
    "rich.live",
    "rich.progress",
    "ssl",
    "stevedore",
    "urllib.request",
)
# The help of a command may cost what typer with its coloured help costs by itself, and a little more.
HIGHEST_RATIO = 1.15
RUNS = 9

LIST_MODULES = """
import sys
sys.argv = ["{command}", "{option}"]
from imagewright.cli.main import {function}
try:
    {function}()
except SystemExit as end:
    assert not end.code, end.code
print("\\n".join(["MODULES", *sys.modules]))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No settings of the caller's, and no terminal."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb"}


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_version_import_nothing_dear(command: str, option: str, environment: dict[str, str]) -> None:
    code = LIST_MODULES.format(command=command, function=COMMANDS[command], option=option)
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    shown, _, modules = result.stdout.partition("MODULES\n")
    assert shown.strip()
    assert not set(BANNED).intersection(modules.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_version_is_answered_before_typer_is_imported(command: str, environment: dict[str, str]) -> None:
    code = LIST_MODULES.format(command=command, function=COMMANDS[command], option="--version")
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert not {"typer", "rich"}.intersection(result.stdout.split())


def seconds(argv: list[str], environment: dict[str, str]) -> float:
    """How long a program runs."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


@pytest.mark.parametrize("command", COMMANDS)
def test_help_costs_no_more_than_its_library(command: str, environment: dict[str, str]) -> None:
    ours = [str(Path(sys.executable).parent / command), "--help"]
    theirs = [sys.executable, "-c", "import typer, typer.rich_utils"]
    # In turn, and the least of each: another program's load falls on both.
    pairs = [(seconds(ours, environment), seconds(theirs, environment)) for _ in range(RUNS)]
    ratio = min(pair[0] for pair in pairs) / min(pair[1] for pair in pairs)
    assert ratio <= HIGHEST_RATIO, f"{ratio:.2f} times as long"
