"""The command that users call, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

import pytest

from .conftest import write_disk

PROGRAM = Path(sys.executable).parent / "imagewright"


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEWRIGHT_")}
    return {**kept, "IMAGEWRIGHT_CACHE_DIR": str(folder / "cache")}


def ended(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [str(word) for word in (PROGRAM, "boot-server", *words)]
    return subprocess.run(
        argv, env=environment(folder), cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "there is nothing to serve"),
        (("--image", "nowhere.qcow2"), "`nowhere.qcow2` is no good value for `--image`"),
        (("--reports", "kept", "--keys", "keys"), "`--keys` is for writing an image, and none was named"),
        (("--image", "web.raw", "--keys", "bad"), "line 2 of bad has not the form `ID KEY`"),
        (("--image", "web.raw", "--keys", "twice"), "line 2 of twice has the id 17 again"),
        (("--image", "web.raw", "--keys", "keys", "--chap-user", "anna"), "belong together"),
        (("--image", "web.raw", "--chap-user", "anna"), "are for writing disks over iSCSI, which is not asked for"),
        (("--image", "keys"), "the image keys cannot be read"),
        (("--image", "web.tar"), "web.tar is a tar, not a disk"),
        (("--image", "web.zst", "--keys", "keys"), "web.zst is compressed, and would come to the disks as it is"),
        (("--image", "web.raw", "--listen", "localhost:1"), "it must have the form ADDRESS:PORT"),
        (("--image", "web.raw", "--listen", "192.0.2.77:1"), "the boot server cannot listen at 192.0.2.77:1"),
        (("--image", "web.raw", "--connect-to", "192.0.2.7"), "it must have the form ADDRESS:PORT=ADDRESS:PORT"),
    ],
)
def test_what_cannot_be_served_is_one_clear_error(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    write_disk(tmp_path / "web.raw", 4, ("root", 1, 2))
    (tmp_path / "web.zst").write_bytes(b"\x28\xb5\x2f\xfd and more")
    with tarfile.open(tmp_path / "web.tar", "w") as archive:
        archive.add(tmp_path / "web.raw", "etc/hostname")
    (tmp_path / "keys").write_text("# deployments\n17 abc\n\n")
    (tmp_path / "bad").write_text("17 abc\n18 two words\n")
    (tmp_path / "twice").write_text("17 abc\n17 abd\n")
    done = ended(tmp_path, *words)
    assert done.returncode in (2, 4), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("failed", 1)])
def test_once_ends_with_the_first_final_report_and_its_exit_code(state: str, code: int, tmp_path: Path) -> None:
    argv = [str(PROGRAM), "boot-server", "--listen", "127.0.0.1:0", "--reports", "kept", "--once", "--json"]
    with subprocess.Popen(
        argv, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        assert started["event"] == "started"
        url = f"http://{started['text'].rpartition(' ')[2]}/report"
        body = json.dumps({"state": state}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=120) as answer:
            assert answer.status == 201
        assert process.wait(120) == code


def test_it_ends_when_it_is_told_to_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_disk(tmp_path / "web.raw", 4, ("root", 1, 1))
    argv = [str(PROGRAM), "boot-server", "--listen", "127.0.0.1:0", "--image", "web.raw"]
    with subprocess.Popen(argv, env=environment(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "listening at 127.0.0.1:" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 143
    assert list((tmp_path / "cache" / "boot-server").iterdir()) == []


def test_what_a_killed_one_left_is_gone_after_the_next(tmp_path: Path) -> None:
    write_disk(tmp_path / "web.raw", 4, ("root", 1, 1))
    argv = [str(PROGRAM), "boot-server", "--listen", "127.0.0.1:0", "--image", "web.raw"]
    for number in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(
            argv, env=environment(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert "listening at 127.0.0.1:" in process.stderr.readline()
            assert len(list((tmp_path / "cache" / "boot-server").iterdir())) == 1
            process.send_signal(number)
            process.wait(120)
    assert list((tmp_path / "cache" / "boot-server").iterdir()) == []
