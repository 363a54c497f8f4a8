"""ext2, ext3 and ext4 as mke2fs makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.reading.images import open_image
from imagewright.reading.trees import Tree

from .conftest import MIB, UUID, Machine, ext4, looked_at, make_machine, same, sh


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ext4", ()),
        ("ext4", ("-b", "1024")),
        ("ext4", ("-b", "1024", "-O", "^64bit,^metadata_csum", "-I", "128")),
        ("ext4", ("-O", "inline_data", "-I", "512")),
        ("ext4", ("-O", "meta_bg,^resize_inode", "-b", "1024", "-g", "1024")),
        ("ext4", ("-O", "meta_bg,^resize_inode,^64bit,sparse_super2", "-b", "1024", "-g", "1024")),
        ("ext4", ("-O", "metadata_csum_seed,large_dir,bigalloc")),
        ("ext3", ("-b", "1024")),
        ("ext2", ("-b", "1024")),
        ("ext2", ("-b", "4096")),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, tuple) else value,
)
def test_kernels_come_out_to_the_byte(tmp_path: Path, machine: Machine, kind: str, options: tuple[str, ...]) -> None:
    same(ext4(tmp_path / "disk.raw", machine, *options, kind=kind), machine)


def test_the_filesystem_says_its_uuid_and_label(tmp_path: Path, machine: Machine) -> None:
    path = ext4(tmp_path / "disk.raw", machine)
    tree = looked_at(path, lambda _, system: system.root)
    assert isinstance(tree, Tree)
    assert (tree.type, tree.uuid, tree.label) == ("ext4", UUID, "cloud")


def test_a_file_in_many_pieces_with_holes_is_whole(tmp_path: Path) -> None:
    machine = make_machine(tmp_path / "root")
    ramdisk = next(machine.folder.glob("boot/initrd.img-6.1.0-18*"))
    with ramdisk.open("wb") as file:
        for number in range(900):
            file.seek(number * 12288)
            file.write(bytes([number % 250 + 1]) * 4096)
        file.truncate(900 * 12288 + 5000)
    whole = ramdisk.read_bytes()
    path = ext4(tmp_path / "disk.raw", machine)
    assert "ETB" in sh("debugfs", "-R", "stat /boot/initrd.img-6.1.0-18-amd64", path)
    assert content(path, "/boot/initrd.img-6.1.0-18-amd64") == whole
    maps = ext4(tmp_path / "maps.raw", machine, kind="ext2")
    assert content(maps, "/boot/initrd.img-6.1.0-18-amd64") == whole


@pytest.mark.parametrize("options", [(), ("-O", "inline_data", "-I", "1024")], ids=["plain", "inline"])
def test_long_folders_and_links_of_every_length_are_followed(
    tmp_path: Path, options: tuple[str, ...], put_many: Callable[[Path], None]
) -> None:
    machine = make_machine(tmp_path / "root")
    put_many(machine.folder)
    path = ext4(tmp_path / "disk.raw", machine, *options, size=64 * MIB)
    check_many(path)


def test_an_interrupted_journal_is_noted_and_the_rest_is_read(tmp_path: Path, machine: Machine) -> None:
    path = ext4(tmp_path / "disk.raw", machine)
    sh("debugfs", "-w", "-R", "feature needs_recovery", path)
    same(path, machine)
    (note,) = looked_at(path, lambda _, system: system.notes)  # type: ignore[misc]
    assert "journal" in note


def content(path: Path, name: str) -> bytes:
    with open_image(path) as image:
        (volume,) = image.volumes
        (tree,) = volume.trees
        node = tree.find(name)
        assert node is not None
        return b"".join(tree.chunks(node))


def check_many(path: Path) -> None:
    """What ``put_many`` laid down is all there."""
    with open_image(path) as image:
        tree = image.volumes[0].trees[0]
        assert len(tree.names("/many")) == 3000
        assert tree.text("/many/entry-number-2999-with-a-name-of-some-length") == "2999"
        assert tree.names("/few") == ("a", "bb", "ccc")
        for name in ("short", "long", "absolute", "chain", "up"):
            assert tree.text(f"/links/{name}") == "2999", name
        assert tree.find("/links/loop") is None
        assert tree.find("/links/nowhere") is None
        assert tree.find("/links/short/below") is None
