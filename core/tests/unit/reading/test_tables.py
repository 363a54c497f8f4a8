"""Partition tables as sfdisk makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagewright.reading.errors import ImageUnreadable
from imagewright.reading.images import open_image

from .conftest import MIB, Machine, empty, ext4, joined, put, same, sh, taken


@pytest.fixture(scope="session")
def part(tmp_path_factory: pytest.TempPathFactory, machine: Machine) -> Path:
    return ext4(tmp_path_factory.mktemp("part") / "part.raw", machine)


@pytest.mark.parametrize("label", ["gpt", "dos"])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_partition_is_found(tmp_path: Path, machine: Machine, part: Path, label: str, before: int) -> None:
    path = joined(tmp_path / "disk.raw", label, *[None] * before, part, sizes=64)
    same(path, machine)
    with open_image(path) as image:
        (volume,) = [volume for volume in image.volumes if volume.trees]
        assert image.table == {"gpt": "gpt", "dos": "mbr"}[label]
        assert volume.partition is not None
        assert volume.partition.number == before + 1
        if label == "gpt":
            assert volume.partition.uuid == sh("sfdisk", "--part-uuid", path, before + 1).strip().lower()
        else:
            identity = int(sh("sfdisk", "--disk-id", path), 16)
            assert volume.partition.uuid == f"{identity:08x}-{before + 1:02x}"


def test_a_logical_partition_is_found(tmp_path: Path, machine: Machine, part: Path) -> None:
    path = empty(tmp_path / "disk.raw", 200 * MIB)
    logical = ["start=8MiB, size=8MiB", "start=20MiB, size=64MiB", "start=100MiB, size=64MiB", ""]
    sh("sfdisk", "--quiet", path, input="\n".join(["label: dos", "size=4MiB", "size=190MiB, type=5", *logical]))
    put(path, 100 * MIB, part)
    same(path, machine)
    with open_image(path) as image:
        assert [volume.partition.number for volume in image.volumes if volume.partition] == [1, 5, 6, 7]


def test_the_copy_of_a_damaged_table_counts(tmp_path: Path, machine: Machine, part: Path) -> None:
    path = joined(tmp_path / "disk.raw", "gpt", part, sizes=64)
    with path.open("r+b") as file:
        file.seek(1024)
        file.write(b"nonsense" * 10)
    same(path, machine)
    with path.open("r+b") as file:
        file.seek(-512, 2)
        file.write(bytes(512))
    with pytest.raises(ImageUnreadable, match="partition table"):
        taken(path)


def test_sectors_of_4096_bytes_are_read(tmp_path: Path, machine: Machine, part: Path) -> None:
    if "--sector-size" not in sh("sfdisk", "--help"):
        pytest.skip("this sfdisk knows sectors of 512 bytes only")
    path = empty(tmp_path / "disk.raw", 80 * MIB)
    sh("sfdisk", "--quiet", "--sector-size", "4096", path, input="label: gpt\nstart=256, size=16384\n")
    put(path, MIB, part)
    same(path, machine)


def test_a_truncated_disk_is_refused(tmp_path: Path, part: Path) -> None:
    path = joined(tmp_path / "disk.raw", "gpt", part, sizes=64)
    for size in (3 * MIB, 1_050_000, 20_000, 600, 100, 1):
        with path.open("r+b") as file:
            file.truncate(size)
        with pytest.raises(ImageUnreadable):
            taken(path)


@pytest.mark.parametrize(
    ("at", "magic", "words"),
    [(0, b"LUKS\xba\xbe", "LUKS"), (512, b"LABELONE", "LVM"), (0, b"hsqs", "squashfs"), (3, b"NTFS", "NTFS")],
)
def test_a_partition_that_is_not_read_is_named(tmp_path: Path, at: int, magic: bytes, words: str) -> None:
    path = joined(tmp_path / "disk.raw", "gpt", None, sizes=8)
    with path.open("r+b") as file:
        file.seek(MIB + at)
        file.write(magic)
    with pytest.raises(ImageUnreadable) as caught:
        taken(path)
    assert "partition 1: " in str(caught.value)
    assert words in str(caught.value)
