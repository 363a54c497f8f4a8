"""FAT filesystems."""

from __future__ import annotations

import filecmp
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.disk import vfat
from imagewright.errors import PlanError
from imagewright.types import MIB

FILES = {"EFI/BOOT/BOOTX64.EFI": b"MZ" * 90_000, "EFI/other/readme.txt": b"hello"}


def make(disk: Path, size: int, offset: int = 0, label: str = "ESP") -> Path:
    with disk.open("wb") as file:
        file.truncate(offset + size)
    vfat.make(
        disk=disk,
        offset=offset,
        size=size,
        files=FILES,
        label=label,
        volume_id="5afe5afe",
        epoch=1,
        scratch=disk.parent,
    )
    return disk


@pytest.mark.parametrize("size", [8 * MIB, 64 * MIB, 300 * MIB])
def test_files_are_in_it_and_the_filesystem_is_clean(tmp_path: Path, size: int, check: Callable[..., None]) -> None:
    disk = make(tmp_path / "disk", size)
    check("fsck.vfat", "-n", str(disk))
    for path, content in FILES.items():
        read = subprocess.run(["mtype", "-i", str(disk), f"::{path}"], capture_output=True, check=True).stdout
        assert read == content


def test_it_is_the_same_each_time_and_nothing_else_is_left(tmp_path: Path) -> None:
    make(tmp_path / "a", 64 * MIB)
    time.sleep(2.1)  # FAT knows even seconds
    make(tmp_path / "b", 64 * MIB)
    assert filecmp.cmp(tmp_path / "a", tmp_path / "b", shallow=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a").stat().st_blocks * 512 < 4 * MIB


def test_it_lies_at_its_offset(tmp_path: Path) -> None:
    disk = make(tmp_path / "disk", 8 * MIB, 3 * MIB)
    data = disk.read_bytes()
    assert not any(data[: 3 * MIB])
    assert data[3 * MIB :] == make(tmp_path / "other", 8 * MIB).read_bytes()


def test_a_label_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="longer than 11 bytes"):
        make(tmp_path / "disk", 8 * MIB, label="TWELVE-BYTES")
