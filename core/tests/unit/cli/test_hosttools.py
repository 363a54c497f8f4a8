from __future__ import annotations

import os

import pytest
from imagewright import hosttools
from imagewright.hosttools import Purpose, Tool


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program that only PATH leads to."""
    path = tmp_path / "some-tool"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def test_a_program_is_found_on_path(program):
    assert hosttools.find("some-tool") == program


def test_the_systems_own_folders_are_searched_when_path_lacks_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hosttools.search_path().split(os.pathsep) == [str(tmp_path), "/usr/local/sbin", "/usr/sbin", "/sbin"]


def test_what_is_missing_is_named_once_in_order(program):
    absent = hosttools.missing(["no-such-b", "some-tool", "no-such-a", "no-such-b"])
    assert [tool.program for tool in absent] == ["no-such-b", "no-such-a"]


def test_a_file_that_is_executable_for_nobody_is_no_program(program):
    program.chmod(0o644)
    assert hosttools.find("some-tool") is None


def test_something_that_is_no_program_is_found_by_any_of_its_files(tmp_path):
    tool = Tool(program="keyring", files=(str(tmp_path / "a"), str(tmp_path / "b")))
    assert tool.find() is None
    (tmp_path / "b").touch()
    assert tool.find() == tmp_path / "b"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("ID=debian\n", ("debian",)),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', ("linuxmint", "ubuntu", "debian")),
        ("NAME=x\n", ()),
    ],
)
def test_the_distribution_is_read_from_os_release(tmp_path, text, ids):
    path = tmp_path / "os-release"
    path.write_text(text)
    assert hosttools.distribution(path) == ids
    assert hosttools.distribution(tmp_path / "missing") == ()


def test_every_tool_says_why_it_is_needed_and_what_brings_it():
    for tool in hosttools.TOOLS:
        assert tool.why
        assert {"debian", "ubuntu"} <= set(tool.packages)


def test_every_program_is_listed_once_and_every_purpose_is_used():
    programs = [tool.program for tool in hosttools.TOOLS]
    assert len(programs) == len(set(programs))
    assert {tool.purpose for tool in hosttools.TOOLS} == set(Purpose)


def test_packages_are_sorted_and_each_is_there_once():
    tools = [hosttools.tool(name) for name in ("mcopy", "mmd", "mke2fs", "no-such")]
    assert hosttools.packages_of(tools, "debian") == ("e2fsprogs", "mtools")
