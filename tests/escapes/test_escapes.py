"""No way out of a build: each escape fails in it, and would succeed without it."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from imagewright.sandbox.link import obstacle
from imagewright.testing.reliability import Recorder

from .conftest import Tried
from .table import ESCAPES, Escape


def _named(one: Escape) -> str:
    return f"{one.where}-{one.name}"


@pytest.mark.parametrize("one", ESCAPES, ids=_named)
def test_it_does_not_get_out(tried: Tried, reliability: Recorder, one: Escape) -> None:
    results = [tried.offline]
    # where the host cannot keep the network apart, being offline is the only wall there
    if not one.network or not obstacle():
        results.append(tried.online)
    if one.network and one.where == "extra-data":
        # what the caller runs on the host has the host's network where there is none of the build's own
        results = results[1:]
    for result in results:
        with reliability.trying("escapes", _named(one)):
            assert result[one.where, one.name] is False


@pytest.mark.parametrize("one", [one for one in ESCAPES if one.proof], ids=_named)
def test_without_the_walls_it_would(tried: Tried, one: Escape) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", tried.world.script(one.script)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_there_are_at_least_forty_of_them() -> None:
    assert len({one.name for one in ESCAPES}) >= 40


def test_nothing_that_a_step_started_is_left(tried: Tried) -> None:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes())
        except OSError:
            continue
    assert not [line for line in lines if b"86399." in line]


def test_the_host_is_as_it_was(tried: Tried) -> None:
    assert not (tried.world.home / "written").exists()
    assert not (tried.world.tmp / "written").exists()
    assert not Path("/etc/imagewright-was-here").exists()
    assert socket.gethostname() != "taken-over"


def test_what_is_behind_a_link_out_of_the_tree_is_in_no_output(tried: Tried) -> None:
    for path in tried.folder.iterdir():
        data = path.read_bytes()
        # the link's own target names the folder, not what is in it
        assert f"{tried.world.secret}\n".encode() not in data, path.name


def test_the_login_of_a_repository_is_used_and_in_nothing_that_a_build_writes(tried: Tried) -> None:
    assert "the login is ***\n" in tried.said
    written = {path for top in tried.tops for path in top.rglob("*") if path.is_file() and not path.is_symlink()}
    assert {path.suffix for path in written} > {".tar", ".log", ".json"}
    assert not [path for path in written if tried.world.password.encode() in path.read_bytes()]
