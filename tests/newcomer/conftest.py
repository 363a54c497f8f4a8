"""A newcomer: an ordinary account of its own, with a clone of this checkout below its home."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
NAME = "imagewright-newcomer"
# What a machine behind a proxy or with an index of its own says to everybody on it.
PASSED_ON = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CI")


def entry() -> pwd.struct_passwd | None:
    """The account, if there is one."""
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return None


def subordinate_ids() -> list[range]:
    """The ranges of ids that the account may map."""
    lines = [line.split(":") for line in Path("/etc/subuid").read_text().splitlines()]
    return [range(int(first), int(first) + int(count)) for name, first, count in lines if name == NAME]


def processes(uids: list[range]) -> dict[int, str]:
    """The processes of some ids: their command by their number; not those that have ended and wait for their parent."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            uid = folder.stat().st_uid
            if "\nState:\tZ" in (folder / "status").read_text():
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(uid in ids for ids in uids):
            found[int(folder.name)] = command
    return found


def remove() -> None:
    """End the account's processes, by their numbers, and remove the account with its home."""
    account = entry()
    if account is None:
        return
    uids = [range(account.pw_uid, account.pw_uid + 1), *subordinate_ids()]
    for _ in range(50):
        left = processes(uids)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """An account whose commands run in a clone of this checkout."""

    uid: int
    gid: int
    home: Path
    checkout: Path

    def environment(self) -> dict[str, str]:
        """What a login gives an ordinary account: no folder for the administrator's programs on PATH."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.lower().endswith("_proxy") or name.startswith(PASSED_ON)
        }
        login = {
            "HOME": str(self.home), "USER": NAME, "LOGNAME": NAME, "SHELL": "/bin/bash", "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",
        }  # fmt: skip
        return kept | login

    def run(self, *argv: str, minutes: float) -> str:
        """What a command printed, errors too; one that fails fails the test with it."""
        result = subprocess.run(
            argv, cwd=self.checkout, env=self.environment(), user=self.uid, group=self.gid, extra_groups=[],
            umask=0o022, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, timeout=minutes * 60, start_new_session=True,
        )  # fmt: skip
        assert result.returncode == 0, f"{argv} ended with {result.returncode}:\n{result.stdout}"
        return result.stdout

    def processes(self) -> dict[int, str]:
        """The account's processes, those with mapped ids too."""
        return processes([range(self.uid, self.uid + 1), *subordinate_ids()])


@pytest.fixture(scope="session")
def newcomer() -> Iterator[Newcomer]:
    """A fresh account with a clone; nothing of it is left afterwards."""
    if os.geteuid() != 0:
        pytest.skip("only root makes accounts; an ordinary caller of the tests is a newcomer already")
    remove()
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", NAME], check=True)
    try:
        if not subordinate_ids():
            options = ["--add-subuids", "700000000-700065535", "--add-subgids", "700000000-700065535"]
            subprocess.run(["usermod", *options, NAME], check=True)
        account = pwd.getpwnam(NAME)
        home = Path(account.pw_dir)
        checkout = home / "imagewright"
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", TOP, checkout], check=True)
        subprocess.run(["chown", "-R", f"{account.pw_uid}:{account.pw_gid}", checkout], check=True)
        yield Newcomer(uid=account.pw_uid, gid=account.pw_gid, home=home, checkout=checkout)
    finally:
        remove()
