"""qcow2 files of our own, as QEMU and our own reader see them."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from imagewright.disk import qcow2
from imagewright.disk.qcow2 import CLUSTER
from imagewright.errors import HostError
from imagewright.reading.blocks import FileBlocks
from imagewright.reading.qcow2 import Qcow2Blocks
from imagewright.types import GIB, MIB


def disk(path: Path, size: int, *parts: tuple[int, bytes]) -> Path:
    """A sparse disk that holds these bytes at these places."""
    with path.open("wb") as file:
        file.truncate(size)
        for at, content in parts:
            file.seek(at)
            file.write(content)
    return path


def noise(length: int, seed: int = 1) -> bytes:
    """Bytes that no compression makes smaller, the same in every run."""
    return random.Random(seed).randbytes(length)


def written(raw: Path, **options: int) -> Path:
    image = raw.with_suffix(".qcow2")
    qcow2.write(raw, image, **options)
    return image


def check(raw: Path, image: Path) -> None:
    """QEMU finds no fault in the file, and the same disk in it."""
    subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", image], check=True)
    subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", raw, image], check=True)


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        (MIB, ()),
        (512, ((0, b"x"),)),
        (3 * CLUSTER + 1024, ((3 * CLUSTER + 1000, b"the end of a disk that ends within a cluster"[:24]),)),
        (64 * MIB, ((0, b"text" * 100_000), (5 * MIB + 17, noise(200_000)), (64 * MIB - 4, b"last"))),
        # compressed clusters, some that do not get smaller, and compressed ones again, packed across borders
        (16 * MIB, ((0, noise(3000) + b"a" * 3_000_000 + noise(70_001, 2) + b"b" * 900_000 + noise(300_000, 3)),)),
        # more than one L2 table, with empty ones between
        (3 * GIB, ((0, b"first"), (GIB + 5, noise(100_000)), (3 * GIB - 70_000, b"z" * 70_000))),
    ],
    ids=["empty", "one sector", "odd end", "scattered", "mixed", "several tables"],
)
def test_qemu_finds_the_same_disk_and_no_fault(tmp_path: Path, size: int, parts: tuple[tuple[int, bytes], ...]) -> None:
    raw = disk(tmp_path / "disk.raw", size, *parts)
    image = written(raw)
    check(raw, image)
    with closing(FileBlocks(image)) as file:
        ours = Qcow2Blocks(file, lambda name, kind: file)
        for at, content in parts:
            assert ours.read(at, len(content)) == content


def test_random_disks_come_back_whole(tmp_path: Path) -> None:
    chance = random.Random(5)
    for number in range(12):
        size = chance.randrange(1, 300) * CLUSTER + chance.randrange(0, 128) * 512
        parts = []
        for _ in range(chance.randrange(0, 30)):
            length = min(chance.choice([10, 5000, CLUSTER, 3 * CLUSTER]), size)
            content = chance.randbytes(length) if chance.random() < 0.5 else bytes([chance.randrange(256)]) * length
            parts.append((chance.randrange(0, size - length + 1), content))
        raw = disk(tmp_path / f"{number}.raw", size, *parts)
        check(raw, written(raw))


def test_the_bytes_do_not_depend_on_the_number_of_processors_nor_on_the_clock(tmp_path: Path) -> None:
    raw = disk(tmp_path / "disk.raw", 96 * MIB, (0, noise(5 * MIB) + b"text " * 8_000_000))
    one = written(raw, threads=1).read_bytes()
    time.sleep(1.1)
    for threads in (2, 7):
        assert written(raw, threads=threads).read_bytes() == one


def test_zeros_take_no_room_whether_they_are_holes_or_not(tmp_path: Path) -> None:
    hole = disk(tmp_path / "hole.raw", 64 * MIB, (0, b"x"))
    zeros = disk(tmp_path / "zeros.raw", 64 * MIB, (0, b"x" + bytes(40 * MIB)))
    assert written(hole).read_bytes() == written(zeros).read_bytes()
    assert hole.with_suffix(".qcow2").stat().st_size <= 8 * CLUSTER


def test_a_disk_that_cannot_be_written_is_told_clearly(tmp_path: Path) -> None:
    raw = disk(tmp_path / "disk.raw", 64 * MIB, (0, noise(8 * MIB)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(HostError, match="no file of that size"):
            written(raw)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if os.path.exists("/dev/full"):
        with pytest.raises(HostError, match="no space left"):
            qcow2.write(raw, Path("/dev/full"))
