"""Identifiers that sfdisk and others took at random follow from the plan; those that somebody chose stay."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from imagewright.disk.identifiers import identifiers_in, settle

SEED = "3e1c7a50-3f0a-5d0e-9d57-0b7a4f5c1f11"
OTHER = "7a2f9b44-52d1-5c3e-8f6a-1d2e3f4a5b6c"
CHOSEN = "9b2f6c1e-7d34-4e0a-8f51-2c6d1b7a9e42"


def made(path: Path, table: str) -> Path:
    with path.open("wb") as file:
        file.truncate(64 * 2**20)
    sfdisk(path, words=("--quiet",), data=table)
    return path


def sfdisk(disk: Path, *, words: tuple[str, ...], data: str | None = None) -> str:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    argv = ["sfdisk", *words, str(disk)]
    done = subprocess.run(argv, input=data, env={"PATH": path}, capture_output=True, text=True, check=True)
    return done.stdout


def identifiers(disk: Path) -> list[str]:
    table = json.loads(sfdisk(disk, words=("--json",)))["partitiontable"]
    return [table["id"].lower(), *(one.get("uuid", "").lower() for one in table["partitions"])]


GPT = "label: gpt\nsize=4M\nsize=8M\n"
DOS = "label: dos\nsize=4M\nsize=8M\n"


@pytest.mark.parametrize("table", [GPT, DOS])
def test_random_ones_depend_on_the_seed_alone(tmp_path: Path, table: str) -> None:
    disks = [made(tmp_path / name, table) for name in ("one", "two", "three")]
    assert len({identifiers(disk)[0] for disk in disks}) == 3
    for disk, seed in zip(disks, (SEED, SEED, OTHER), strict=True):
        settle(disk, seed, ())
    assert disks[0].read_bytes() == disks[1].read_bytes()
    assert not {*identifiers(disks[0])} & {one for one in identifiers(disks[2]) if one}
    before = disks[0].read_bytes()
    settle(disks[0], OTHER, identifiers(disks[0]))
    assert disks[0].read_bytes() == before


def test_partitions_stay_where_and_what_they_are(tmp_path: Path) -> None:
    disk = made(
        tmp_path / "disk", "label: gpt\nsize=4M, type=uefi, name=esp, attrs=RequiredPartition\nsize=8M, name=x\n"
    )
    before = json.loads(sfdisk(disk, words=("--json",)))["partitiontable"]["partitions"]
    settle(disk, SEED, ())
    after = json.loads(sfdisk(disk, words=("--json",)))["partitiontable"]["partitions"]
    for one in (*before, *after):
        del one["uuid"]
    assert after == before


def test_those_that_were_given_stay(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk", f"label: gpt\nlabel-id: {CHOSEN}\nsize=4M, uuid={CHOSEN.replace('9b', '9c')}\n")
    settle(disk, SEED, {CHOSEN})
    found = identifiers(disk)
    assert found[0] == CHOSEN
    assert found[1] != CHOSEN.replace("9b", "9c")


def test_those_that_follow_from_a_name_stay(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk", f"label: gpt\nlabel-id: {OTHER}\nsize=4M, uuid={SEED}\n")
    settle(disk, SEED, ())
    assert identifiers(disk) == [OTHER, SEED]


def test_a_disk_without_a_table_is_left_alone(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(2**20))
    settle(disk, SEED, ())
    assert disk.read_bytes() == bytes(2**20)


def test_identifiers_are_found_in_any_text() -> None:
    text = f"root=PARTUUID={CHOSEN.upper()} label-id: 0x0BADCAFE, 0xff; not-{CHOSEN[:-1]} 0x123456789".encode()
    assert list(identifiers_in(text)) == [CHOSEN, "0x0badcafe", "0x000000ff"]
