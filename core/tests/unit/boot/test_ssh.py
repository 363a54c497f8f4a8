from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.boot.ssh import Login, host_keys, make_key

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")


def test_a_key_is_fresh_and_private(tmp_path: Path) -> None:
    one, two = make_key(tmp_path, "one"), make_key(tmp_path, "two")
    assert one.public.startswith("ssh-ed25519 ")
    assert one.public.split()[1] != two.public.split()[1]
    assert stat.S_IMODE(one.private.stat().st_mode) == 0o600


def test_the_callers_configuration_agent_and_known_hosts_are_left_out(tmp_path: Path) -> None:
    words = Login(port=2222, user="debian", key=tmp_path / "key").argv()
    assert words[words.index("-F") + 1] == "/dev/null"
    assert {"IdentityAgent=none", "IdentitiesOnly=yes", "UserKnownHostsFile=/dev/null"} <= set(words)


def test_no_server_is_neither_a_login_nor_a_refusal(tmp_path: Path) -> None:
    login = Login(port=1, user="debian", key=make_key(tmp_path).private)
    assert not login.works()
    assert not login.refuses()
    assert login.methods() == ()
    assert host_keys(1) == frozenset()


def test_a_denied_key_is_a_refusal_and_shows_the_servers_methods(
    tmp_path: Path, program: Callable[[str, str], Path]
) -> None:
    program("ssh", "echo 'debian@127.0.0.1: Permission denied (publickey,password).' >&2; exit 255")
    login = Login(port=1, user="debian", key=tmp_path / "key")
    assert login.refuses()
    assert login.methods() == ("publickey", "password")


def test_a_command_without_end_is_given_up(tmp_path: Path, program: Callable[[str, str], Path]) -> None:
    program("ssh", "echo begun; exec sleep 60")
    ran = Login(port=1, user="debian", key=tmp_path / "key").run("x", timeout=0.5)
    assert (ran.status, ran.stdout) == (124, "begun\n")
