"""Partition tables on plain files."""

from __future__ import annotations

import filecmp
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagewright.disk import gpt
from imagewright.errors import ContractError, PlanError
from imagewright.types import GIB, MIB, Layout, Partition

DISK = "11111111-0000-4000-8000-000000000000"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
LAYOUT = Layout(
    partitions=(
        Partition(name="bios", type="21686148-6449-6E6F-744E-656564454649", size=MIB, role="bios-boot"),
        Partition(name="root", type=LINUX, role="root"),
        Partition(name="my data", type=LINUX, size=10 * MIB + 1),
    )
)


def blank(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_the_partition_without_a_size_gets_what_is_left_wherever_it_stands() -> None:
    placed = gpt.place(LAYOUT, GIB, DISK)
    assert [(one.number, one.offset, one.size) for one in placed] == [
        (1, MIB, MIB),
        (2, 2 * MIB, GIB - 14 * MIB),
        (3, GIB - 12 * MIB, 11 * MIB),
    ]


def test_a_table_is_clean_the_same_each_time_and_read_back_as_it_was_written(
    tmp_path: Path, check: Callable[..., None]
) -> None:
    placed = gpt.place(LAYOUT, 64 * MIB, DISK)
    for name in ("a", "b"):
        gpt.write(blank(tmp_path / name, 64 * MIB), placed, DISK, 1)
    assert filecmp.cmp(tmp_path / "a", tmp_path / "b", shallow=False)
    check("sgdisk", "-v", str(tmp_path / "a"))
    back = gpt.read(tmp_path / "a")
    assert [(one.number, one.offset, one.size, one.uuid) for one in back] == [
        (one.number, one.offset, one.size, one.uuid) for one in placed
    ]
    assert [one.partition.name for one in back] == ["bios", "root", "my-data"]
    assert [one.partition.type for one in back] == [one.type for one in LAYOUT.partitions]


def test_other_seeds_give_other_uuids() -> None:
    other = gpt.place(LAYOUT, GIB, "11111111-0000-4000-8000-000000000001")
    mine = gpt.place(LAYOUT, GIB, DISK)
    assert not {one.uuid for one in mine} & {one.uuid for one in other}
    assert len({one.uuid for one in mine}) == 3


@settings(deadline=None)
@given(st.lists(st.integers(1, 900 * MIB), min_size=1, max_size=6), st.integers(0, 6), st.integers(4 * MIB, 4 * GIB))
def test_partitions_lie_aligned_in_order_within_the_disk_or_do_not_fit(sizes: list[int], at: int, size: int) -> None:
    partitions = [Partition(name=f"p{number}", type=LINUX, size=one) for number, one in enumerate(sizes)]
    partitions.insert(at, Partition(name="rest", type=LINUX, role="root"))
    try:
        placed = gpt.place(Layout(partitions=tuple(partitions)), size, DISK)
    except PlanError:
        assert sum(-(-one // MIB) for one in sizes) + 3 > size // MIB
        return
    end = MIB
    for one in placed:
        assert one.offset == end
        assert one.size >= max(one.partition.size, MIB)
        assert one.offset % MIB == one.size % MIB == 0
        end = one.offset + one.size
    assert size - end >= MIB


def test_two_partitions_cannot_both_have_the_rest() -> None:
    layout = Layout(partitions=(Partition(name="a", type=LINUX), Partition(name="b", type=LINUX, role="root")))
    with pytest.raises(ContractError, match="2 partitions want all the room that is left: a, b"):
        gpt.place(layout, GIB, DISK)


def test_partitions_that_do_not_fit_are_told_with_their_sizes() -> None:
    with pytest.raises(PlanError, match="need 15 MiB, but the disk has 8 MiB") as caught:
        gpt.place(LAYOUT, 8 * MIB, DISK)
    assert "root: what is left" in caught.value.where
    assert "my data: 11 MiB" in caught.value.where


@pytest.mark.parametrize("label", ["gpt", "dos"])
@pytest.mark.parametrize("name", ["disk", "disk1"])
def test_the_table_of_a_script_is_read(tmp_path: Path, label: str, name: str) -> None:
    disk = blank(tmp_path / name, GIB)
    script = (
        f"label: {label}\nsize=100M\nsize=200M, bootable\n" if label == "dos" else "label: gpt\nsize=100M\nsize=200M\n"
    )
    subprocess.run(["/usr/sbin/sfdisk", "-q", str(disk)], input=script, text=True, check=True)
    placed = gpt.read(disk)
    assert [(one.number, one.offset, one.size) for one in placed] == [
        (1, MIB, 100 * MIB),
        (2, 101 * MIB, 200 * MIB),
    ]
    assert gpt.pick(placed, 2, disk).size == 200 * MIB
    with pytest.raises(ContractError, match="no partition 3") as caught:
        gpt.pick(placed, 3, disk)
    assert "partitions: 1, 2" in caught.value.where


def test_an_extended_partition_cannot_hold_a_filesystem(tmp_path: Path) -> None:
    disk = blank(tmp_path / "disk", GIB)
    script = "label: dos\nsize=100M\ntype=5\nsize=50M\n"
    subprocess.run(["/usr/sbin/sfdisk", "-q", str(disk)], input=script, text=True, check=True)
    placed = gpt.read(disk)
    assert gpt.pick(placed, 5, disk).size == 50 * MIB
    with pytest.raises(ContractError, match="extended"):
        gpt.pick(placed, 2, disk)


def test_a_disk_without_a_table_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no partition table"):
        gpt.read(blank(tmp_path / "disk", GIB))


def test_a_partition_beyond_the_end_of_the_disk_is_told_as_such(tmp_path: Path) -> None:
    disk = blank(tmp_path / "disk", GIB)
    subprocess.run(["/usr/sbin/sfdisk", "-q", str(disk)], input="label: dos\nsize=900M\n", text=True, check=True)
    with disk.open("r+b") as file:
        file.truncate(500 * MIB)
    with pytest.raises(ContractError, match="Partition 1 ends at"):
        gpt.read(disk)
