from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from imagewright.boot.scratch import scratch


def fill(folder: Path) -> None:
    for name in ("key", "console.log", "seed.iso"):
        (folder / name).write_text("x")
    (folder / "empty.log").touch()


def test_nothing_is_left(tmp_path: Path) -> None:
    with scratch(tmp_path / "boots") as it:
        fill(it.path)
    assert list((tmp_path / "boots").iterdir()) == []


def test_nothing_is_left_after_an_interruption(tmp_path: Path) -> None:
    def interrupted() -> None:
        with scratch(tmp_path) as it:
            fill(it.path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_logs_that_say_something_are_kept_on_request(tmp_path: Path) -> None:
    with scratch(tmp_path) as it:
        fill(it.path)
        it.keep_logs = True
    assert [path.name for path in it.path.iterdir()] == ["console.log"]


def test_the_next_one_sweeps_up_after_a_killed_one_and_spares_the_living(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, time\n"
        "from imagewright.boot.scratch import scratch\n"
        "with scratch(pathlib.Path(sys.argv[1])) as it:\n"
        "    (it.path / 'key').touch()\n"
        "    print(it.path, flush=True)\n"
        "    time.sleep(300)\n"
    )
    other = subprocess.Popen((sys.executable, "-c", script, str(tmp_path)), stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    with other.stdout:
        theirs = Path(other.stdout.readline().strip())
    with scratch(tmp_path):
        assert (theirs / "key").exists()
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (theirs / "key").exists()
    with scratch(tmp_path):
        assert not theirs.exists()


def test_old_logs_go_and_new_ones_stay(tmp_path: Path) -> None:
    folders = []
    for _ in range(2):
        with scratch(tmp_path) as it:
            fill(it.path)
            it.keep_logs = True
        folders.append(it.path)
    os.utime(folders[0], (time.time() - 30 * 24 * 3600,) * 2)
    with scratch(tmp_path):
        pass
    assert [path.exists() for path in folders] == [False, True]
