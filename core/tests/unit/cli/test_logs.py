"""The file with the full log of a build."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imagewright.cli.commands.logs import KEPT, LogFile
from imagewright.errors import HostError
from imagewright.events import Notice


def test_a_log_is_made_at_the_first_event_and_only_then(tmp_path):
    with LogFile.choose(None, tmp_path, "demo") as log:
        assert not log.begun
        assert list(tmp_path.iterdir()) == []
        log.handle(Notice(message="hello"))
        log.note("the end")
    assert log.path.read_text().endswith(" hello\nthe end\n")
    assert log.path.stat().st_mode & 0o077 == 0


def test_only_the_newest_logs_are_kept(tmp_path):
    (tmp_path / "logs").mkdir()
    for number in range(KEPT + 5):
        old = tmp_path / "logs" / f"old-{number:02}.log"
        old.touch()
        os.utime(old, (number, number))
    with LogFile.choose(None, tmp_path, "demo") as log:
        log.handle(Notice(message="hello"))
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert len(names) == KEPT
    assert log.path.name in names
    assert "old-00.log" not in names


def test_a_named_log_that_cannot_be_written_is_refused_before_the_build(tmp_path):
    with pytest.raises(HostError, match="cannot be written"):
        LogFile.choose(tmp_path / "missing" / "log", tmp_path, "demo")
    with pytest.raises(HostError, match="cannot be written"):
        LogFile.choose(tmp_path, tmp_path, "demo")


@pytest.mark.parametrize("name", ["/proc/log", "/dev/null/log"])
def test_a_log_on_a_filesystem_that_takes_none_is_refused_before_the_build(tmp_path, name):
    with pytest.raises(HostError, match="cannot be written") as caught:
        LogFile.choose(Path(name), tmp_path, "demo")
    assert caught.value.cause
    assert caught.value.option == "log-file"


def test_asking_for_a_log_makes_none_and_keeps_one_that_is_there(tmp_path):
    LogFile.choose(tmp_path / "new.log", tmp_path, "demo")
    (tmp_path / "old.log").write_text("earlier\n")
    LogFile.choose(tmp_path / "old.log", tmp_path, "demo")
    assert [path.name for path in tmp_path.iterdir()] == ["old.log"]
    assert (tmp_path / "old.log").read_text() == "earlier\n"
