"""What survives a redeployment: the script runs on a tree of files as on a machine's own, with the real ssh-keygen."""

from __future__ import annotations

import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

SCRIPT = "persistent-state/static/usr/lib/imagewright/persistent-state"


class Machine:
    """A root tree, with the partition `state` below it as long as nobody takes it to another one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "etc/ssh").mkdir(parents=True)
        (root / "state").mkdir()

    def boot(self) -> None:
        script = resources.files("imagewright_flavours_standard") / SCRIPT
        done = subprocess.run(["sh", str(script), str(self.root)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def keys(self, folder: str = "etc/ssh") -> dict[str, tuple[bytes, int]]:
        """Content and mode of the host keys."""
        found = sorted((self.root / folder).glob("ssh_host_*"))
        return {path.name: (path.read_bytes(), path.stat().st_mode & 0o777) for path in found}

    def redeployed(self, root: Path) -> Machine:
        """A machine with a fresh root and this one's partition."""
        new = Machine(root)
        (new.root / "state").rmdir()
        shutil.copytree(self.root / "state", new.root / "state")
        return new


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "first")


def test_the_first_boot_makes_host_keys_and_keeps_them(machine: Machine) -> None:
    machine.boot()
    keys = machine.keys()
    assert {"ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"} <= set(keys)
    assert machine.keys("state/ssh") == keys
    assert {mode for name, (_, mode) in keys.items() if not name.endswith(".pub")} == {0o600}
    assert (machine.root / "state/ssh").stat().st_mode & 0o777 == 0o700


def test_a_later_boot_changes_nothing(machine: Machine) -> None:
    machine.boot()
    before = machine.keys()
    machine.boot()
    assert machine.keys() == machine.keys("state/ssh") == before


def test_a_redeployed_machine_has_its_host_keys_again(machine: Machine, tmp_path: Path) -> None:
    machine.boot()
    new = machine.redeployed(tmp_path / "second")
    assert not new.keys()
    new.boot()
    assert new.keys() == machine.keys()


def test_kept_host_keys_win_over_those_that_something_else_made_first(machine: Machine, tmp_path: Path) -> None:
    machine.boot()
    new = machine.redeployed(tmp_path / "second")
    subprocess.run(["ssh-keygen", "-q", "-A", "-f", new.root], check=True, capture_output=True)
    assert new.keys() != machine.keys()
    new.boot()
    assert new.keys() == machine.keys()


def test_keys_that_a_power_failure_left_half_kept_are_not_taken_for_the_machines(machine: Machine) -> None:
    (machine.root / "state/ssh.new").mkdir()
    (machine.root / "state/ssh.new/ssh_host_rsa_key").write_text("half a k")
    machine.boot()
    assert machine.keys("state/ssh") == machine.keys()
    assert not (machine.root / "state/ssh.new").exists()
    assert b"half a k" not in {content for content, _ in machine.keys().values()}
