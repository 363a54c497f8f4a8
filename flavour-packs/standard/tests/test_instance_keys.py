"""The keys of an earlier instance: the script runs on a tree of files as on a machine's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest

SCRIPT = "cloud-init/static/usr/lib/imagewright/instance-keys"


def key(letter: str) -> str:
    return f"ssh-ed25519 AAAA{letter * 64} {letter}@example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The files of a machine with the account debian."""

    root: Path

    @property
    def keys(self) -> list[str]:
        return (self.root / "home/debian/.ssh/authorized_keys").read_text().splitlines()

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def authorise(self, *lines: str) -> None:
        self.write("home/debian/.ssh/authorized_keys", "".join(f"{line}\n" for line in lines))

    def boot(self, instance: str, keys: Sequence[str], *, user_data: str = "") -> None:
        """What cloud-init leaves, and then the script."""
        self.write("var/lib/cloud/data/instance-id", f"{instance}\n")
        self.write("var/lib/cloud/instance/cloud-config.txt", user_data)
        self.write("run/cloud-init/instance-data-sensitive.json", json.dumps({"v1": {"public_ssh_keys": list(keys)}}))
        self.run()

    def run(self, *arguments: str) -> str:
        script = resources.files("imagewright_flavours_standard") / SCRIPT
        argv = [sys.executable, "-IS", str(script), *arguments, str(self.root)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(root=tmp_path)
    made.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndebian:x:1000:1000::/home/debian:/bin/sh\nx\n")
    return made


def test_a_new_instance_loses_the_keys_of_the_earlier_one(machine: Machine) -> None:
    machine.authorise(key("a"))
    machine.boot("first", [key("a")])
    machine.authorise(key("a"), key("b"))
    machine.boot("second", [key("b")])
    assert machine.keys == [key("b")]


def test_the_same_instance_keeps_its_keys(machine: Machine) -> None:
    machine.authorise(key("a"))
    for _ in range(3):
        machine.boot("first", [key("a")])
    assert machine.keys == [key("a")]


def test_a_key_that_both_instances_were_given_stays(machine: Machine) -> None:
    machine.authorise(key("a"), key("c"))
    machine.boot("first", [key("a"), key("c")])
    machine.authorise(key("a"), key("c"), key("b"))
    machine.boot("second", [key("b"), key("c")])
    assert machine.keys == [key("c"), key("b")]


def test_keys_that_people_added_stay(machine: Machine) -> None:
    machine.authorise("# mine", key("p"), key("a"))
    machine.boot("first", [key("a")])
    machine.boot("second", [])
    assert machine.keys == ["# mine", key("p")]


def test_keys_that_were_in_the_image_stay_even_if_metadata_named_them_too(machine: Machine) -> None:
    machine.authorise(key("o"))
    machine.write("usr/lib/imagewright/own-keys", machine.run("--own"))
    machine.authorise(key("o"), key("a"))
    machine.boot("first", [key("o"), key("a")])
    machine.boot("second", [])
    assert machine.keys == [key("o")]


def test_keys_of_user_data_are_keys_of_the_instance_too(machine: Machine) -> None:
    machine.authorise(key("u"))
    # as cloud-init writes it: long lines are folded
    blob = key("u").split()
    machine.boot("first", [], user_data=f"#cloud-config\nssh_authorized_keys:\n- {blob[0]}\n  {blob[1]} {blob[2]}\n")
    machine.boot("second", [])
    assert machine.keys == []


def test_the_refusal_that_root_is_given_goes_with_its_key(machine: Machine) -> None:
    machine.write("root/.ssh/authorized_keys", f'no-pty,command="echo no" {key("a")}\n')
    machine.boot("first", [key("a")])
    machine.boot("second", [])
    assert (machine.root / "root/.ssh/authorized_keys").read_text() == ""


@pytest.mark.parametrize("instance", ["iid-datasource-none", ""])
def test_metadata_that_do_not_answer_lock_nobody_out(machine: Machine, instance: str) -> None:
    machine.authorise(key("a"))
    machine.boot("first", [key("a")])
    machine.boot(instance, [])
    machine.boot("first", [key("a")])
    assert machine.keys == [key("a")]


def test_a_file_that_is_rewritten_keeps_its_mode(machine: Machine) -> None:
    machine.authorise(key("a"))
    place = machine.root / "home/debian/.ssh/authorized_keys"
    place.chmod(0o600)
    machine.boot("first", [key("a")])
    machine.boot("second", [])
    assert place.stat().st_mode & 0o777 == 0o600
    assert os.listdir(place.parent) == [place.name]


def test_a_link_that_an_account_made_is_not_followed(machine: Machine) -> None:
    machine.authorise(key("a"))
    machine.boot("first", [key("a")])
    machine.write("etc/precious", f"{key('a')}\n")
    place = machine.root / "home/debian/.ssh/authorized_keys"
    place.unlink()
    place.symlink_to(machine.root / "etc/precious")
    machine.boot("second", [])
    assert (machine.root / "etc/precious").read_text() == f"{key('a')}\n"


def test_a_boot_that_was_cut_short_is_made_good_by_the_next(machine: Machine) -> None:
    machine.authorise(key("a"))
    machine.boot("first", [key("a")])
    machine.authorise(key("a"), key("b"))
    machine.write("var/lib/imagewright/instance/keys", f"{key('b').split()[1]}\n{key('a').split()[1]}\n")
    machine.boot("second", [key("b")])
    assert machine.keys == [key("b")]


def test_the_remembered_instance_is_that_of_the_metadata_to_the_letter_as_the_unit_compares_them(
    machine: Machine,
) -> None:
    machine.boot("first", [])
    remembered = machine.root / "var/lib/imagewright/instance/id"
    assert remembered.read_bytes() == (machine.root / "var/lib/cloud/data/instance-id").read_bytes()
