"""The lists of host packages and what the commands say that the host lacks are one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LISTS = ("debian", "ubuntu")


def read(top: Path, name: str) -> dict[str, str]:
    """Each package of a list with its reason."""
    lines = (top / "scripts" / "host-packages" / f"{name}.txt").read_text().splitlines()
    entries = [line.partition("#") for line in lines if not line.startswith("#")]
    return {package.strip(): reason.strip() for package, _, reason in entries}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_sorted_names_each_package_once_and_says_why(top: Path, name: str) -> None:
    entries = read(top, name)
    assert list(entries) == sorted(entries)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", package) and reason for package, reason in entries.items())
