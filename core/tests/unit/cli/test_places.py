"""Where the caller's own files are."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from imagewright.cli.places import cache_folder, current_folder, user_file
from imagewright.errors import HostError


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_they_lie_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert cache_folder() == Path("/home/ann/.cache/imagewright")
    assert user_file() == Path("/home/ann/.config/imagewright/imagewright.toml")


def test_variables_name_other_folders_and_need_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/big/cache")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/mine")
    assert cache_folder() == Path("/big/cache/imagewright")
    assert user_file() == Path("/etc/mine/imagewright/imagewright.toml")


def test_a_relative_variable_is_ignored_as_the_specification_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert cache_folder() == Path("/home/ann/.cache/imagewright")


@pytest.mark.parametrize("home", ["", "relative"])
def test_without_a_home_in_the_environment_the_host_knows_it(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", home)
    assert cache_folder() == Path(pwd.getpwuid(os.getuid()).pw_dir, ".cache", "imagewright")


def test_a_user_whom_nobody_knows_is_told_to_name_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(HostError, match="no home folder") as caught:
        cache_folder()
    assert caught.value.hint == "set `HOME` to a folder of yours"


def test_a_current_folder_that_is_gone_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert current_folder() == tmp_path
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(HostError, match="not there any more"):
        current_folder()
