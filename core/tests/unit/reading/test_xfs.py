"""XFS as mkfs.xfs makes it from a protofile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.reading.images import open_image

from .conftest import Machine, looked_at, make_machine, needed, same, sh, xfs
from .test_ext4 import check_many


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-b", "size=1024"),
        ("-n", "size=16384"),
        ("-i", "size=1024", "-d", "agcount=2"),
        ("-m", "crc=0", "-n", "ftype=0"),
        ("-m", "crc=0", "-n", "ftype=1"),
        ("-m", "bigtime=0,inobtcount=0,rmapbt=1,reflink=0"),
    ],
    ids=",".join,
)
def test_kernels_come_out_to_the_byte(tmp_path: Path, machine: Machine, options: tuple[str, ...]) -> None:
    same(xfs(tmp_path / "disk.raw", machine, *options), machine)


def test_the_filesystem_says_its_uuid_and_label(tmp_path: Path, machine: Machine) -> None:
    path = xfs(tmp_path / "disk.raw", machine, "-m", "uuid=12345678-1234-4321-8765-123456789abc")
    names = looked_at(path, lambda _, system: (system.root.type, system.root.uuid, system.root.label))
    assert names == ("xfs", "12345678-1234-4321-8765-123456789abc", "cloud")


@pytest.mark.parametrize("options", [(), ("-b", "size=1024"), ("-n", "size=8192"), ("-m", "crc=0")], ids=",".join)
def test_long_folders_and_links_of_every_length_are_followed(
    tmp_path: Path, options: tuple[str, ...], put_many: Callable[[Path], None]
) -> None:
    machine = make_machine(tmp_path / "root")
    put_many(machine.folder)
    if long_links_lack_their_header() and "crc=0" not in options:
        (machine.folder / "links/long").unlink()
        (machine.folder / "links/long").symlink_to("short")
    check_many(xfs(tmp_path / "disk.raw", machine, *options))


def long_links_lack_their_header() -> bool:
    """Whether mkfs.xfs is one that writes links that do not fit into an inode as no kernel can read them."""
    needed("mkfs.xfs")
    version = sh("mkfs.xfs", "-V").split()[-1].split(".")
    return (int(version[0]), int(version[1])) < (6, 12)


def test_a_file_in_more_pieces_than_an_inode_holds_is_whole(tmp_path: Path) -> None:
    machine = make_machine(tmp_path / "root")
    ramdisk = machine.folder / "boot/initrd.img-6.1.0-18-amd64"
    with ramdisk.open("wb") as file:
        for number in range(600):
            file.seek(number * 12288)
            file.write(bytes([number % 250 + 1]) * 4096)
        file.truncate(600 * 12288 + 5000)
    whole = ramdisk.read_bytes()
    path = xfs(tmp_path / "disk.raw", machine)
    with open_image(path) as image:
        tree = image.volumes[0].trees[0]
        node = tree.find("/boot/initrd.img-6.1.0-18-amd64")
        assert node is not None
        assert b"".join(tree.chunks(node)) == whole
    inode = node.reference
    told = sh("xfs_db", "-r", "-c", f"inode {inode}", "-c", "print core.format core.nextents", path)
    if "btree" not in told:
        pytest.skip("this mkfs.xfs does not keep holes, so that the file lies in one piece")


def test_one_that_needs_repair_is_refused(tmp_path: Path, machine: Machine) -> None:
    path = xfs(tmp_path / "disk.raw", machine)
    with path.open("r+b") as file:
        file.seek(216)
        features = int.from_bytes(file.read(4), "big")
        file.seek(216)
        file.write((features | 0x10).to_bytes(4, "big"))
    with open_image(path) as image:
        assert "needs repair" in image.volumes[0].problem
