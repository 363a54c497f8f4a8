"""Whoever uses the wheels: the caller, or for root an ordinary account that is made for the tests and removed again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

NAME = "imagewright-vendor"
SPARE = "700065536-700131071"
"""The subordinate ids of the account where the host gives none."""

# what a machine behind a proxy or with an index of its own says to everybody on it
PASSED_ON = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """An ordinary user with a folder of their own, in an environment that knows nothing of this checkout."""

    home: Path
    uid: int
    gid: int

    def environment(self) -> dict[str, str]:
        """What a login gives."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.lower().endswith("_proxy") or name.startswith(PASSED_ON)
        }
        name = pwd.getpwuid(self.uid).pw_name
        login = {"HOME": str(self.home), "USER": name, "LOGNAME": name, "LANG": "C.UTF-8"}
        return kept | login | {"PATH": "/usr/local/bin:/usr/bin:/bin"}

    def tried(self, *argv: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program as this user."""
        other = {} if os.geteuid() == self.uid else {"user": self.uid, "group": self.gid, "extra_groups": ()}
        return subprocess.run(
            [str(word) for word in argv], cwd=cwd or self.home, env=self.environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, umask=0o022, start_new_session=True, **other,
        )  # fmt: skip

    def run(self, *argv: str | Path, cwd: Path | None = None) -> str:
        """The standard output of a program that has to succeed."""
        done = self.tried(*argv, cwd=cwd)
        assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def give(self, files: Sequence[Path], folder: str) -> list[Path]:
        """Copies of files that this user may read, in a folder of theirs."""
        place = self.home / folder
        place.mkdir(exist_ok=True)
        copies = [Path(shutil.copyfile(file, place / file.name)) for file in files]
        for path in (place, *copies):
            os.chown(path, self.uid, self.gid)
        return copies


def _remove() -> None:
    try:
        account = pwd.getpwnam(NAME)
    except KeyError:
        return
    for _ in range(50):
        left = list(_processes(account.pw_uid))
        for number in left:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not left:
            break
        time.sleep(0.1)
    subprocess.run(["userdel", NAME], check=True)
    shutil.rmtree(account.pw_dir)


def _subordinate() -> list[range]:
    lines = [line.split(":") for line in Path("/etc/subuid").read_text().splitlines()]
    return [range(int(first), int(first) + int(count)) for name, first, count in lines if name == NAME]


def _processes(uid: int) -> Iterator[int]:
    mapped = _subordinate()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            owner, ended = folder.stat().st_uid, "\nState:\tZ" in (folder / "status").read_text()
        except OSError:
            continue
        if not ended and (owner == uid or any(owner in ids for ids in mapped)):
            yield int(folder.name)


@pytest.fixture(scope="session")
def somebody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Somebody]:
    """An ordinary user; of an account that was made nothing is left."""
    if os.geteuid() != 0:
        yield Somebody(home=tmp_path_factory.mktemp("home"), uid=os.getuid(), gid=os.getgid())
        return
    _remove()
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", NAME], check=True)
    try:
        if not _subordinate():
            subprocess.run(["usermod", "--add-subuids", SPARE, "--add-subgids", SPARE, NAME], check=True)
        account = pwd.getpwnam(NAME)
        yield Somebody(home=Path(account.pw_dir), uid=account.pw_uid, gid=account.pw_gid)
    finally:
        _remove()
