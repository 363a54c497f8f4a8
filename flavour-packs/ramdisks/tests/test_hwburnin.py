"""Burn-in of small memory and of disks that are files, with the real memtester, in namespaces of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import imagewright_flavours_ramdisks
import jsonschema
import pytest
from imagewright.testing.initkit import STATIC

FOLDER = Path(imagewright_flavours_ramdisks.__file__).parent / "hwburnin"
FRAGMENT = (FOLDER / "init").read_text()
SCHEMA = json.loads((FOLDER / "burn-in.schema.json").read_text())
MIB = 2**20
SIZE = 40 * MIB + 512 * 3

# The machine has 40 MiB of free memory, and a disk that is a file; no disk of the host has its name.
MACHINE = f"""
mount -t tmpfs sys sys
mkdir -p sys/class/block/vdz/device sys/class/block/vdz/holders sys/class/net/veth0
echo 1 >sys/class/net/veth0/carrier
echo {SIZE // 512} >sys/class/block/vdz/size
echo 'MemAvailable: 40960 kB' >tmp/meminfo
mount --bind tmp/meminfo proc/meminfo
: >dev/vdz
mount --bind "$FOLDER/disk" dev/vdz
"""


@pytest.fixture
def burnt(init_kit):
    def burn(disk: bytes, line: str = "ip=off burnin_time=4", setup: str = "", fragment: str = FRAGMENT, **more):
        path = init_kit.folder / "disk"
        path.write_bytes(disk)
        life = init_kit.live(
            {"hwburnin": fragment}, line, programs=("memtester",), setup=MACHINE + setup, patience=150, **more
        )
        text = life.console.partition("-----BEGIN IMAGEWRIGHT BURN-IN-----\n")[2]
        assert text, life.console
        told = json.loads(text.partition("-----END IMAGEWRIGHT BURN-IN-----")[0])
        jsonschema.validate(told, SCHEMA)
        return life, told, path.read_bytes()

    return burn


def test_memory_and_a_blank_disk_are_exercised_and_the_disk_is_blank_again(burnt):
    life, told, left = burnt(bytes(SIZE))
    assert told["passed"] is True, life.console
    assert told["memory"]["processes"] == len(os.sched_getaffinity(0)) or told["memory"]["bytes"] <= 32 * MIB
    assert 8 * MIB <= told["memory"]["bytes"] <= 33 * MIB
    assert told["memory"]["failures"] == 0
    (disk,) = told["disks"]
    assert (disk["name"], disk["bytes"], disk["use"], disk["failures"]) == ("vdz", SIZE, "blank", 0)
    assert disk["written_bytes"] > 0
    assert left == bytes(SIZE)
    assert "all done" in life.console


@pytest.mark.parametrize("place", [0, 512, 17 * MIB + 5, 40 * MIB - 1, SIZE - 1])
def test_a_disk_that_is_not_blank_is_read_and_never_written(burnt, place):
    data = bytearray(SIZE)
    data[place] = 7
    _, told, left = burnt(bytes(data), "ip=off burnin_time=2")
    (disk,) = told["disks"]
    assert left == bytes(data)
    assert disk["use"] == "only-read"
    assert disk["written_bytes"] == 0
    assert disk["failures"] == 0


@pytest.mark.parametrize(
    ("line", "setup"),
    [
        ("burnin_disks=none", ""),
        ("", "mkdir sys/class/block/vdz/vdz1; echo 1 >sys/class/block/vdz/vdz1/partition"),
        ("", "mkdir sys/class/block/vdz/holders/dm-0"),
        ("", "echo 1 >sys/class/block/vdz/ro"),
    ],
)
def test_a_blank_disk_is_not_written_where_that_is_forbidden_or_something_uses_it(burnt, line, setup):
    _, told, left = burnt(bytes(SIZE), f"ip=off burnin_time=2 {line}", setup)
    assert told["disks"][0]["use"] == "only-read"
    assert told["disks"][0]["written_bytes"] == 0
    assert left == bytes(SIZE)


def test_a_disk_that_the_command_line_names_is_overwritten_whatever_it_holds(burnt):
    _, told, left = burnt(b"\7" * SIZE, "ip=off burnin_time=6 burnin_disks=sdq,/dev/vdz")
    assert told["disks"][0]["use"] == "overwritten"
    assert told["disks"][0]["written_bytes"] > 0
    assert left != b"\7" * SIZE


def test_a_disk_that_loses_what_is_written_fails_the_machine_and_is_reported(burnt):
    # What is read for comparison is a byte longer than what was written.
    read = 'if burn_read "$1" "$at" >"$state/piece"; then\n'
    assert read in FRAGMENT
    spoilt = FRAGMENT.replace(read, f'{read}printf x >>"$state/piece"\n')
    life, told, _ = burnt(bytes(SIZE), f"{STATIC} burnin_time=4", server="http", fragment=spoilt)
    (disk,) = told["disks"]
    assert told["passed"] is False
    assert disk["problems"][0]["operation"] == "compare"
    assert disk["failures"] >= 1
    assert "FAILED: burn-in found failures: disk vdz:" in life.console
    states = [document["state"] for document in life.documents("/report")]
    assert states == ["failed", "failed"]
    assert life.documents("/report")[0] == told


def test_a_memtester_that_cannot_run_fails_the_machine(burnt):
    life, told, _ = burnt(bytes(SIZE), "ip=off burnin_time=2", "printf '#!/bin/sh\\nexit 4\\n' >usr/sbin/memtester")
    assert told["passed"] is False
    assert told["memory"]["messages"][0] == "memtester ended with status 4"
    assert "FAILED: burn-in found failures: memory:" in life.console
