"""Damaged images: one clear error or the right bytes, never a traceback, never a hang."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagewright.reading import codecs
from imagewright.reading.blocks import Blocks, FileBlocks
from imagewright.reading.commandline import command_line
from imagewright.reading.errors import Damaged, ImageUnreadable
from imagewright.reading.images import Image, open_image, readable, volumes_of
from imagewright.reading.systems import find_system
from imagewright.testing.reliability import Recorder

from .conftest import Machine, btrfs, ext4, joined, sh, xfs

TRIED = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
CHANGES = st.lists(st.tuples(st.integers(0, 2**32), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)


class Changed:
    """A disk with some bytes other than they were; it remembers the small reads, which are those of structures."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self.size = blocks.size
        self.structures: list[tuple[int, int]] = []
        self.changes: dict[int, bytes] = {}

    def read(self, offset: int, length: int) -> bytes:
        data = bytearray(self._blocks.read(offset, length))
        if length <= 65536:
            self.structures.append((offset, length))
        for at, new in self.changes.items():
            for number, byte in enumerate(new):
                if offset <= at + number < offset + length:
                    data[at + number - offset] = byte
        return bytes(data)


def go_through(blocks: Blocks) -> None:
    """Do everything that the command does."""
    path = Path("disk")
    with readable(path):
        table, volumes = volumes_of(blocks)
        image = Image(
            path=path, format="raw", table=table, size=blocks.size, files=(path,), volumes=volumes, blocks=blocks
        )
        system = find_system(image)
        kernel = system.choose()
        command_line(system, kernel)
        assert kernel.ramdisk
        for file in (kernel.kernel, kernel.ramdisk):
            assert sum(len(chunk) for chunk in file.chunks()) == file.size


def gpt(path: Path, machine: Machine) -> Path:
    return joined(path, "gpt", ext4(path.with_suffix(".part"), machine, "-b", "1024"), sizes=64)


def mapped(path: Path, machine: Machine) -> Path:
    return ext4(path, machine, "-b", "1024", kind="ext2")


@pytest.mark.parametrize("make", [ext4, mapped, xfs, btrfs, gpt], ids=lambda make: make.__name__)
def test_changed_structures_give_the_bytes_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, machine: Machine, make: Callable[..., Path], reliability: Recorder
) -> None:
    path = make(tmp_path_factory.mktemp("damage") / "disk.raw", machine)
    file = FileBlocks(path)
    clean = Changed(file)
    go_through(clean)
    places = sorted(set(clean.structures))

    @TRIED
    @given(CHANGES)
    def tried(changes: list[tuple[int, bytes]]) -> None:
        blocks = Changed(file)
        for where, new in changes:
            offset, length = places[where % len(places)]
            blocks.changes[offset + where // len(places) % length] = new
        with reliability.trying("inputs", "filesystems of images"), tolerated():
            go_through(blocks)

    tried()
    file.close()


@pytest.mark.parametrize("options", [(), ("-c",), ("-c", "-o", "compression_type=zstd")], ids=",".join)
def test_a_changed_qcow2_gives_the_bytes_or_one_error(
    tmp_path: Path, machine: Machine, options: tuple[str, ...], reliability: Recorder
) -> None:
    raw, path = ext4(tmp_path / "disk.raw", machine), tmp_path / "disk.qcow2"
    sh("qemu-img", "convert", "-O", "qcow2", *options, raw, path)
    size = path.stat().st_size

    @TRIED
    @given(CHANGES, st.sampled_from([112, 400_000, size]))
    def tried(changes: list[tuple[int, bytes]], within: int) -> None:
        saved = []
        with path.open("r+b", buffering=0) as file:
            for where, new in changes:
                at = where % within
                file.seek(at)
                saved.append((at, file.read(len(new))))
                file.seek(at)
                file.write(new)
            trying = reliability.trying("inputs", "qcow2 images")
            with trying, tolerated(), open_image(path) as image, readable(path):
                system = find_system(image)
                for chunk in system.choose().kernel.chunks():
                    assert chunk
            for at, old in reversed(saved):
                file.seek(at)
                file.write(old)

    tried()


@TRIED
@given(st.binary(max_size=5000), st.sampled_from([b"", b"QFI\xfb\0\0\0\3", b"XFSB", b"KDMV"]), st.booleans())
def test_random_bytes_give_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, head: bytes, long: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.img"
    path.write_bytes(head + data + (random.Random(data).randbytes(200_000) if long else b""))
    with pytest.raises(ImageUnreadable) as caught, open_image(path) as image:
        find_system(image)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("unpack", [codecs.unlzo, codecs.unzstd, codecs.inflate], ids=lambda unpack: unpack.__name__)
def test_random_bytes_do_not_unpack_to_more_than_the_limit(unpack: Callable[[bytes, int], bytes]) -> None:
    @TRIED
    @given(st.binary(max_size=300), st.integers(1, 5000))
    def tried(data: bytes, limit: int) -> None:
        try:
            assert len(unpack(data, limit)) <= limit
        except Damaged:
            return

    tried()


@pytest.mark.parametrize("content", [b"", b"\0" * 100_000, b"text\n"])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ImageUnreadable), open_image(path):
        pass


def test_folders_and_pipes_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ImageUnreadable), open_image(path):
            pass


@contextmanager
def tolerated() -> Iterator[None]:
    """Only the one error is in order."""
    message = "none"
    try:
        yield
    except ImageUnreadable as error:
        message = error.message
    assert message
    assert "\n" not in message
