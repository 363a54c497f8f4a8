"""The lists of host packages and what the commands say that the host lacks are one."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from pathlib import Path

import pytest
from imagewright.hosttools import TOOLS, packages_of

LISTS = ("debian", "ubuntu")
OF_THE_SET_UP = ("git", "make", "python3", "python3-venv")


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


@pytest.mark.parametrize("name", LISTS)
def test_a_list_holds_what_the_doctor_asks_for_and_what_the_set_up_itself_needs(top: Path, name: str) -> None:
    assert set(read(top, name)) == {*packages_of(TOOLS, name), *OF_THE_SET_UP}


def test_the_set_up_finds_what_is_missing_and_installs_nothing_else(top: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("# a list\nbash      # is here\nno-such-package-as-this # is not\n")
    assert call(top, f'missing_packages "{listed}"') == "no-such-package-as-this\n"


def test_a_new_range_of_ids_lies_behind_those_of_everybody(top: Path, tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("ann:100000:65536\nbob:300000:65536\n")
    (tmp_path / "subgid").write_text("ann:165536:65536\n")
    assert call(top, f'free_range "{tmp_path}/subuid" "{tmp_path}/subgid"') == "365536\n"
    (tmp_path / "subuid").write_text("")
    assert call(top, f'free_range "{tmp_path}/subuid"') == "100000\n"


@pytest.mark.parametrize(
    ("line", "enough"),
    [("NAME:100000:65536", True), ("NUMBER:100000:65536", True), ("NAME:100000:1000", False), ("other:1:65536", False)],
)
def test_a_range_is_the_callers_by_name_or_number_if_it_is_large_enough(
    top: Path, tmp_path: Path, line: str, enough: bool
) -> None:
    ranges = tmp_path / "subuid"
    ranges.write_text(
        line.replace("NAME", pwd.getpwuid(os.getuid()).pw_name).replace("NUMBER", str(os.getuid())) + "\n"
    )
    assert call(top, f'if has_range "{ranges}"; then echo yes; else echo no; fi') == ("yes\n" if enough else "no\n")


def call(top: Path, line: str) -> str:
    """What a function of the set-up prints."""
    command = ["bash", "-c", f'. "$1"; {line}', "bash", top / "scripts" / "setup"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
