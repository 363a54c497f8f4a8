"""The pages on reliability name tests that exist, and numbers that a run gave."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

NAMED = re.compile(r"`([a-z-][a-z0-9_/-]*\.py)::([A-Za-z0-9_:]+)`")


@cache
def defined_in(path: Path) -> frozenset[str]:
    """The tests that a file defines, those of classes with their class in front."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return frozenset(found)


def test_all_forty_failures_have_a_test_that_exists_or_a_reason(top: Path) -> None:
    rows = re.findall(
        r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", (top / "docs/forty-failures.md").read_text(), re.MULTILINE
    )
    assert [int(number) for number, _failure, _here in rows] == list(range(1, 41))
    for number, _failure, here in rows:
        named = NAMED.findall(here)
        assert named or len(here.split()) > 8, f"failure {number} has neither a test nor a reason"
        for file, test in named:
            assert (top / file).is_file(), f"failure {number}: {file}"
            assert test in defined_in(top / file), f"failure {number}: {file} has no {test}"


@pytest.mark.parametrize(("chapter", "fewest"), [("faults", 500), ("inputs", 1000), ("escapes", 40)])
def test_the_page_has_hundreds_of_tries_and_no_loss(top: Path, chapter: str, fewest: int) -> None:
    text = (top / "docs/reliability.md").read_text()
    row = re.search(rf"^\| {chapter} \| ([0-9,]+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert row
    assert int(row[1].replace(",", "")) >= fewest
    assert int(row[3]) == 0
    kinds = re.findall(r"^\| ([^|]+) \| ([0-9,]+) \| \d+ \| (\d+) \|$", text, re.MULTILINE)
    assert len(kinds) >= int(row[2])
    assert all(lost == "0" for _kind, _tried, lost in kinds)
