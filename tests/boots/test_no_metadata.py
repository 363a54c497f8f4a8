"""Boot 6: an image is complete without any metadata."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from boots_kit.lab import GROWTH, Lab, Life
from boots_kit.observing import root_filesystem_size
from imagewright.boot.disks import Disk
from imagewright.boot.machine import Machine
from imagewright.boot.ssh import Login, host_keys, make_key


@pytest.fixture(scope="module")
def life(lab: Lab, folder: Callable[[str], Path]) -> Life:
    """Boot 6."""
    where = folder("boot-6")
    disk = lab.disk(where)
    with lab.run(Machine(disks=(Disk(path=disk, format="qcow2", keep=True),)), where) as it:
        it.wait_for("login: ", lab.patience)
        served: frozenset[str] = frozenset()
        while not served and it.seconds < 2 * lab.patience:
            it.check()
            served = host_keys(it.ssh_port, kinds="ed25519")
        stranger = Login(port=it.ssh_port, user="debian", key=make_key(where).private)
        facts = {"served": served, "refused": stranger.refuses(), "methods": stranger.methods()}
        it.shut_down(lab.patience)
        console = it.console
    return Life(console=console, seen={}, facts={**facts, "root_size": root_filesystem_size(disk)})


def test_the_serial_console_shows_a_login_prompt(life: Life) -> None:
    assert "ttyS0" in life.console
    assert " login: " in life.console


def test_it_has_host_keys_of_its_own(life: Life, first_life: Life) -> None:
    assert [key.split()[0] for key in life.facts["served"]] == ["ssh-ed25519"]
    assert not life.facts["served"] & set(first_life.seen["host_keys"])


def test_nobody_gets_in(life: Life) -> None:
    assert life.facts["refused"]
    assert life.facts["methods"] == ("publickey",)


def test_the_root_filesystem_grew(lab: Lab, life: Life) -> None:
    assert life.facts["root_size"] > 0.9 * (lab.size + GROWTH)


def test_no_unit_failed_on_the_way(life: Life) -> None:
    assert "[FAILED]" not in life.console
