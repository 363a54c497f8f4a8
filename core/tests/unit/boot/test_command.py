"""``imagewright boot`` as a process, with stand-ins for QEMU and ssh; ``tests/boots`` has the real ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")

# It answers the two questions of the monitor: the greeting, and where ssh is forwarded.
QEMU = r"""#!PYTHON
import json, socket, sys
words = sys.argv
console = next(word.split("path=")[1] for word in words if word.startswith("file,id=console"))
open(console, "w").write("[  0.1] Linux version\nmachine login: \n")
open("RECORD", "w").write("\n".join(words))
fd = next(int(word.rpartition("fd=")[2]) for word in words if word.startswith("socket,id=monitor"))
stream = socket.socket(fileno=fd).makefile("rw")
def say(value):
    stream.write(json.dumps(value) + "\n")
    stream.flush()
say({"QMP": {}})
for line in stream:
    about_the_port = json.loads(line)["execute"].startswith("human")
    say({"event": "NOISE"})
    say({"return": "TCP[HOST_FORWARD] 3 127.0.0.1 41895 10.0.2.15 22 0 0" if about_the_port else {}})
"""
SSH = """
for last; do :; done
case $last in
true) exit LOGIN;;
*) sh -c "$last";;
esac
"""


def startable(folder: Path, user: str) -> Path:
    """A disk that a firmware would start from, with a filesystem whose cloud-init has that default user, if any."""
    etc = folder / "tree/etc"
    (etc / "cloud").mkdir(parents=True, exist_ok=True)
    name = f"  default_user:\n    name: {user}\n" if user else ""
    (etc / "cloud/cloud.cfg").write_text(f"system_info:\n  distro: debian\n{name}")
    image = folder / "web.raw"
    image.write_bytes(bytes(4 * 2**20))
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    subprocess.run(
        ("mke2fs", "-q", "-F", "-d", etc.parent, image),
        check=True,
        capture_output=True,
        env={**os.environ, "PATH": path},
    )
    with image.open("r+b") as file:
        file.seek(510)
        file.write(b"\x55\xaa")
    return image


class Host:
    """A host with these stand-ins; ``boot`` calls the command."""

    def __init__(self, folder: Path, program: Callable[[str, str], Path]) -> None:
        self.folder = folder
        self.record = folder / "qemu-words"
        self.program = program
        self.program("qemu-system-x86_64", "").write_text(
            QEMU.replace("PYTHON", sys.executable).replace("RECORD", str(self.record))
        )
        self.logins(0)
        self.image = startable(folder, "debian")

    def logins(self, status: int) -> None:
        self.program("ssh", SSH.replace("LOGIN", str(status)))

    def boot(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("IMAGEWRIGHT_")},
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }
        command = (str(Path(sys.executable).parent / "imagewright"), "boot", *words)
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60, env=environment, cwd=self.folder
        )

    def logs(self) -> list[Path]:
        return sorted((self.folder / "cache").rglob("*.log"))


@pytest.fixture
def host(tmp_path: Path, program: Callable[[str, str], Path]) -> Host:
    return Host(tmp_path, program)


def test_good_checks_are_exit_code_0_with_a_line_each(host: Host) -> None:
    done = host.boot(str(host.image), "--check", "true && echo fine", "--check", "test 1 = 1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["passed"] * 3
    assert lines[0].endswith("login")
    assert "login as debian after" in done.stderr
    assert host.logs() == []


def test_no_check_ends_after_the_login(host: Host) -> None:
    done = host.boot(str(host.image))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_a_failed_check_is_exit_code_1_and_the_others_run_too(host: Host) -> None:
    report = host.folder / "report.xml"
    done = host.boot(
        str(host.image), "--check", "echo broken; exit 3", "--check", "echo ok", "--junit", str(report), "--json"
    )
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert [outcome["passed"] for outcome in document["outcomes"]] == [True, False, True]
    assert "exit status 3" in document["outcomes"][1]["output"]
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["message"].startswith("1 of 2 checks failed")
    (suite,) = ET.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert Path(document["console_log"]) in host.logs(), "the console is kept after a failure"
    assert all(path.suffix == ".log" for path in (host.folder / "cache").rglob("*") if path.is_file())


def test_no_login_shows_the_console_and_names_its_log(host: Host) -> None:
    host.logins(255)
    done = host.boot(str(host.image), "--timeout", "1", "--user", "ubuntu")
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "`ubuntu`" in done.stderr
    assert "| machine login:" in done.stderr
    (console,) = (path for path in host.logs() if path.name == "console.log")
    assert str(console) in done.stderr
    assert "Traceback" not in done.stderr


def test_the_login_is_the_images_own_user(host: Host) -> None:
    startable(host.folder, "ubuntu")
    done = host.boot(str(host.image))
    assert done.returncode == 0, done.stderr
    assert "login as ubuntu after" in done.stderr
    done = host.boot(str(host.image), "--user", "ann")
    assert "login as ann after" in done.stderr


def test_an_image_that_names_no_user_is_told_before_the_boot(host: Host) -> None:
    startable(host.folder, "")
    done = host.boot(str(host.image))
    assert done.returncode == 2
    assert "nobody is known who could log in" in done.stderr
    assert "--user" in done.stderr
    assert not host.record.exists()
    assert host.boot(str(host.image), "--user", "ann").returncode == 0


def test_options_reach_the_machine(host: Host) -> None:
    done = host.boot(str(host.image), "--memory", "768", "--disk-bus", "ahci")
    assert done.returncode == 0, done.stderr
    words = host.record.read_text().splitlines()
    assert words[words.index("-m") + 1] == "768"
    assert any(word.startswith("ide-hd,") for word in words)


def test_a_missing_image_is_a_usage_error(host: Host) -> None:
    done = host.boot("nothing.qcow2")
    assert done.returncode == 2
    assert "nothing.qcow2 cannot be read" in done.stderr
    assert host.boot().returncode == 2


def test_a_junit_file_that_cannot_be_is_found_before_the_boot(host: Host) -> None:
    done = host.boot(str(host.image), "--junit", "no/such/folder/report.xml")
    assert done.returncode == 2
    assert not host.record.exists()
