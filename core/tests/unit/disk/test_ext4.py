"""ext4 filesystems straight from a tree."""

from __future__ import annotations

import filecmp
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.disk import ext4, inodes
from imagewright.disk.measuring import content_of, measure
from imagewright.errors import PlanError
from imagewright.types import GIB, MIB

EPOCH = 1_700_000_000
UUID = "22222222-0000-4000-8000-000000000000"
SEED = "33333333-0000-4000-8000-000000000000"


def make(
    source: Path | None, disk: Path, size: int = 256 * MIB, *, offset: int = 0, epoch: int = EPOCH, **more: object
) -> None:
    with disk.open("ab") as file:
        file.truncate(offset + size)
    ext4.make(
        source=None if source is None else str(source),
        disk=disk,
        offset=offset,
        size=size,
        uuid=UUID,
        hash_seed=SEED,
        label=str(more.get("label", "cloudimg-rootfs")),
        epoch=epoch,
        scratch=disk.parent,
        blank=bool(more.get("blank", False)),
    )


def test_two_copies_of_a_tree_made_in_another_order_give_the_same_bytes(
    tmp_path: Path, make_tree: Callable[..., Path], check: Callable[..., None]
) -> None:
    one = make_tree("one")
    make(one, tmp_path / "a")
    time.sleep(1.2)
    other = make_tree("other", backwards=True)
    (other / "etc/old").read_text()
    make(other, tmp_path / "b")
    assert filecmp.cmp(tmp_path / "a", tmp_path / "b", shallow=False)
    check("e2fsck", "-fn", str(tmp_path / "a"))


def test_a_blank_file_gives_the_same_filesystem_with_fewer_blocks(
    tmp_path: Path, make_tree: Callable[..., Path], check: Callable[..., None]
) -> None:
    tree = make_tree("tree")
    make(tree, tmp_path / "blank", blank=True)
    make(tree, tmp_path / "used")
    check("e2fsck", "-fn", str(tmp_path / "blank"))
    assert (tmp_path / "blank").stat().st_blocks <= (tmp_path / "used").stat().st_blocks
    assert (tmp_path / "blank").stat().st_blocks * 512 < measure(str(tree)) + 16 * MIB


def test_what_was_in_a_partition_before_does_not_disturb_the_filesystem(
    tmp_path: Path, make_tree: Callable[..., Path], check: Callable[..., None]
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xa5" * (64 * MIB))
    make(make_tree("tree"), disk, 64 * MIB)
    check("e2fsck", "-fn", str(disk))


def test_modes_links_attributes_and_holes_are_kept(
    tmp_path: Path, make_tree: Callable[..., Path], debugfs: Callable[..., str]
) -> None:
    disk = tmp_path / "disk"
    make(make_tree("tree"), disk, offset=3 * MIB)
    ask = lambda request: debugfs(disk, request, 3 * MIB)  # noqa: E731 - a short name
    assert re.search(r"regular +Mode: +04711", ask("stat /etc/setuid"))
    assert re.search(r"directory +Mode: +0750", ask("stat /"))
    assert "FIFO" in ask("stat /etc/fifo")
    assert 'Fast link dest: "old"' in ask("stat /etc/short")
    assert "Links: 2" in ask("stat /etc/hard")
    assert ask("stat /etc/hard").split()[1] == ask("stat /usr/share/d1/file-3").split()[1]
    assert "ff 00 20 62" in ask("ea_get -x /etc/old user.note")
    assert int(re.findall(r"Blockcount: (\d+)", ask("stat /etc/sparse"))[0]) < 64
    assert ask("cat /etc/new") == "younger than the epoch"


def test_times_are_clamped_in_the_image_and_not_in_the_source(
    tmp_path: Path, make_tree: Callable[..., Path], debugfs: Callable[..., str]
) -> None:
    tree = make_tree("tree")
    before = (tree / "etc/new").stat().st_mtime_ns
    make(tree, tmp_path / "disk")
    assert (tree / "etc/new").stat().st_mtime_ns == before
    assert f"mtime: 0x{EPOCH:x}:00000000" in debugfs(tmp_path / "disk", "stat /etc/new")
    assert f"mtime: 0x{1_600_000_000:x}:00000000" in debugfs(tmp_path / "disk", "stat /etc/old")
    with (tmp_path / "disk").open("rb") as file:
        found = list(inodes.read_times(file, 0))
    assert len(found) > 240
    for inode in found:
        assert (inode.atime, inode.ctime, inode.crtime) == (EPOCH, EPOCH, EPOCH), inode
        assert inode.mtime <= EPOCH
        assert not any(inode.extras)


@pytest.mark.parametrize("epoch", [0, 2**31 + 5, 2**32 + 7])
def test_any_epoch_is_kept_whatever_its_bits(tmp_path: Path, epoch: int, check: Callable[..., None]) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("x")
    make(tmp_path / "tree", tmp_path / "disk", epoch=epoch)
    with (tmp_path / "disk").open("rb") as file:
        found = {inode.number: inode for inode in inodes.read_times(file, 0)}
    assert found[2].ctime == found[12].ctime == max(1, epoch)
    assert found[12].mtime <= max(1, epoch, time.time())
    check("e2fsck", "-fn", str(tmp_path / "disk"))


def test_owners_and_capabilities_are_those_of_the_tree(as_root: Callable[..., str]) -> None:
    said = as_root(
        """
import os, subprocess, tempfile
from pathlib import Path
from imagewright.disk import ext4
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "tree/bin").mkdir(parents=True)
    (folder / "tree/bin/ping").write_text("x")
    os.chown(folder / "tree/bin/ping", 33, 42)
    os.setxattr(folder / "tree/bin/ping", "security.capability", bytes.fromhex("01000002" + "00200000" + "00" * 12))
    (folder / "disk").write_bytes(b"")
    os.truncate(folder / "disk", 64 << 20)
    ext4.make(source=str(folder / "tree"), disk=folder / "disk", offset=0, size=64 << 20, label="root",
        epoch=1700000000, uuid="22222222-0000-4000-8000-000000000000",
        hash_seed="33333333-0000-4000-8000-000000000000", scratch=folder)
    for request in ("stat /bin/ping", "stat /bin", "ea_get -x /bin/ping security.capability"):
        argv = ["/usr/sbin/debugfs", "-R", request, str(folder / "disk")]
        print(subprocess.run(argv, capture_output=True, text=True).stdout)
""",
        owners=True,
    )
    assert re.search(r"User: +33 +Group: +42", said)
    assert re.search(r"User: +0 +Group: +0", said)
    assert "01 00 00 02 00 20 00 00 00 00 00 00 00 00 00 00 00 00 00 00" in said


def test_the_hosts_settings_of_mke2fs_play_no_part(
    tmp_path: Path, make_tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, debugfs: Callable[..., str]
) -> None:
    tree = make_tree("tree")
    make(tree, tmp_path / "a")
    (tmp_path / "host.conf").write_text(
        "[defaults]\n\tbase_features = none\n\tblocksize = 1024\n\tinode_ratio = 4096\n"
    )
    monkeypatch.setenv("MKE2FS_CONFIG", str(tmp_path / "host.conf"))
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    make(tree, tmp_path / "b")
    assert filecmp.cmp(tmp_path / "a", tmp_path / "b", shallow=False)
    said = debugfs(tmp_path / "a", "stats")
    features = next(line for line in said.splitlines() if line.startswith("Filesystem features:"))
    # GRUB 2.06 refuses metadata_csum_seed; Linux 5.10 does not know orphan_file.
    assert set(features.split(":")[1].split()) == {
        "has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "64bit", "flex_bg",
        "sparse_super", "large_file", "huge_file", "dir_nlink", "extra_isize", "metadata_csum",
    }  # fmt: skip
    assert re.search(r"Inode size:\s+256", said)
    assert re.search(r"Block size:\s+4096", said)
    assert re.search(r"Reserved GDT blocks:\s+[1-9]", said)
    assert f"Filesystem UUID:          {UUID}" in said
    assert f"Directory Hash Seed:      {SEED}" in said


def test_a_tree_of_many_small_files_has_inodes_enough(tmp_path: Path, check: Callable[..., None]) -> None:
    tree = tmp_path / "tree"
    for number in range(3000):  # more than a filesystem of that size has by default
        (tree / f"{number % 10}").mkdir(parents=True, exist_ok=True)
        (tree / f"{number % 10}/{number}").touch()
    make(tree, tmp_path / "disk", 32 * MIB)
    check("e2fsck", "-fn", str(tmp_path / "disk"))


@pytest.mark.parametrize("number", [0, 1, 10])
def test_the_smallest_size_is_large_enough_and_not_by_much(tmp_path: Path, number: int) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in range(number):
        (tree / f"{name}").write_bytes(b"x" * 10 * MIB)
    size = ext4.smallest(content_of(str(tree)))
    make(tree, tmp_path / "disk", size)
    assert size < measure(str(tree)) + 30 * MIB


def test_a_tree_that_does_not_fit_is_told_with_sizes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "large").write_bytes(b"x" * 40 * MIB)
    with pytest.raises(PlanError, match=r"needs a filesystem of .* room for 32 MiB") as caught:
        make(tree, tmp_path / "disk", 32 * MIB)
    assert "--image-size" in caught.value.hint


def test_a_label_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="longer than 16 bytes"):
        make(None, tmp_path / "disk", label="a-label-of-17-chr")


def test_the_tables_of_a_filesystem_are_no_larger_than_reckoned(tmp_path: Path, debugfs: Callable[..., str]) -> None:
    for size in (64 * MIB, GIB, 3 * GIB, 20 * GIB):
        disk = tmp_path / f"{size}"
        make(None, disk, size, blank=True)
        said = debugfs(disk, "stats -h")
        free = int(re.findall(r"Free blocks:\s+(\d+)", said)[0]) * 4096
        count = int(re.findall(r"Inode count:\s+(\d+)", said)[0])
        assert size - free <= ext4.overhead(size, count) <= size - free + size // 100 + 2 * MIB
        disk.unlink()


def test_a_full_disk_of_the_host_is_told_as_such(as_root: Callable[..., str], make_tree: Callable[..., Path]) -> None:
    tree = make_tree("tree")
    (tree / "large").write_bytes(b"0123456789abcdef" * MIB)
    said = as_root(
        """
import subprocess, sys
from pathlib import Path
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", "/mnt"], check=True)
from imagewright.disk import assembly
from imagewright.errors import HostError
try:
    assembly.assemble(target=sys.argv[1], disk="/mnt/disk", size=256 << 20, layout=None, root_label="root", epoch=1,
        root_uuid="22222222-0000-4000-8000-000000000000", seeds={"disk": "33333333-0000-4000-8000-000000000000"},
        boot_loader="")
except HostError as error:
    print(error)
""",
        str(tree),
        mounts=True,
    )
    assert "no space left on the host's disk" in said
