"""The sudo rule is narrow, visudo takes it, and what doctor compares with is what the folder holds."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.sandbox import helper

VISUDO = shutil.which("visudo", path="/usr/sbin:/usr/bin:/sbin:/bin")


def rule(top: Path) -> list[str]:
    """The rule's lines without remarks and continuations."""
    text = (top / "sudoers.d" / "imagewright").read_text().replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.skipif(VISUDO is None, reason="the host lacks sudo")
def test_visudo_takes_the_rule(top: Path, tmp_path: Path) -> None:
    # owner and mode are those of the installed one
    rules = tmp_path / "imagewright"
    rules.write_bytes((top / "sudoers.d" / "imagewright").read_bytes())
    done = subprocess.run([str(VISUDO), "-c", "-f", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rule_allows_one_program_by_its_path_and_digest_without_arguments(top: Path) -> None:
    defaults, grant = rule(top)
    program = re.escape(str(helper.PROGRAM))
    assert re.fullmatch(
        rf'%imagewright ALL = \(root:root\) NOPASSWD: NOSETENV: sha256:[0-9a-f]{{64}} {program} ""', grant
    )
    assert defaults.startswith(f"Defaults!{helper.PROGRAM} ")
    assert {"env_reset", "!env_keep", "!setenv", "closefrom=3"} <= {word.strip(",") for word in defaults.split()}
    assert not re.search(r"[*?\[\]~]", defaults + grant)
    assert "." not in helper.RULE.name


def test_doctor_knows_the_program_and_the_rule(top: Path) -> None:
    program = (top / "sudoers.d" / "imagewright-namespace").read_bytes()
    assert hashlib.sha256(program).hexdigest() == helper.DIGEST
    assert rule(top) == list(helper.rule(helper.DIGEST))


def test_the_program_is_isolated_by_its_first_line(top: Path) -> None:
    program = top / "sudoers.d" / "imagewright-namespace"
    assert program.read_text().startswith("#!/usr/bin/python3 -IBS\n")
    assert program.stat().st_mode & 0o111


@pytest.mark.parametrize(
    "tool",
    [("ruff", "check", "--no-cache"), ("ruff", "format", "--check", "--no-cache"), ("mypy", "--cache-dir=/dev/null")],
    ids=" ".join,
)
def test_the_program_is_held_to_the_rules_of_all_code_though_it_has_no_ending(top: Path, tool: tuple[str, ...]) -> None:
    program = top / "sudoers.d" / "imagewright-namespace"
    done = subprocess.run(
        [sys.executable, "-m", *tool, str(program)], cwd=top, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
