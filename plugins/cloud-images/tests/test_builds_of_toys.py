"""Whole builds from small images: a toy tree in every kind of image that is read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import WORK, Job
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

from .building import assert_kept, build, fails
from .conftest import CAPABILITY, add

# -- kinds of images


def test_a_plain_tar_is_kept_as_it_is(built: Built) -> None:
    assert_kept(built)
    assert "not kept: device nodes, which a running machine makes itself: dev/null" in built.log


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    # two frames, as a parallel compressor writes them
    "zst": lambda data: b"".join(zstandard.compress(part) for part in (data[:50_000], data[50_000:])),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_compressed_tars_are_read(image_kit: ImageKit, toy_tree: bytes, tmp_path: Path, kind: str) -> None:
    # the name says nothing: the content does
    image = tmp_path / "image"
    image.write_bytes(PACKERS[kind](toy_tree))
    assert_kept(build(image_kit, image))


@pytest.mark.parametrize("kind", PACKERS)
def test_a_compressed_tar_that_is_cut_off_is_refused(
    image_kit: ImageKit, toy_tree: bytes, tmp_path: Path, kind: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(PACKERS[kind](toy_tree)[:-6])
    fails(image_kit, image, "the base image cannot be read")


def test_a_tar_that_is_cut_off_is_refused(image_kit: ImageKit, toy_tree: bytes, tmp_path: Path) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(toy_tree[: len(toy_tree) // 2])
    fails(image_kit, image, "the base image cannot be read: the archive")


Bench = Callable[[str], Path]

LAID = """
mkdir -m 755 tree
tar --extract --numeric-owner --xattrs --xattrs-include='*' --exclude=dev/null -p -C tree -f toy.tar
"""


@pytest.fixture
def bench(toy_tree: bytes, tmp_path: Path) -> Iterator[Bench]:
    """Runs a shell script as mapped root beside the unpacked toy in ``tree``; the folder in which it left its files.

    So an ordinary account makes images whose files belong to many, as root does.
    """
    work = tmp_path / "bench"
    work.mkdir()
    (work / "toy.tar").write_bytes(toy_tree)
    with Sandbox.open(work) as sandbox:

        def make(script: str) -> Path:
            said: list[str] = []
            job = Job(argv=("sh", "-euc", LAID + script), environment={"PATH": os.defpath + ":/sbin"}, directory=WORK)
            assert sandbox.run(job, said.append) == 0, "\n".join(said)
            return work

        yield make
        sandbox.remove(work / "tree")


def test_a_squashfs_is_read(image_kit: ImageKit, bench: Bench) -> None:
    made = bench("mksquashfs tree image -comp zstd -no-progress -p 'dev/null c 666 0 0 1 3'")
    built = build(image_kit, made / "image")
    assert_kept(built)
    assert "not kept: device nodes, which a running machine makes itself: dev/null" in built.log


@pytest.mark.parametrize("options", ["", "-I 128", "-b 1024"], ids=["plain", "small-inodes", "small-blocks"])
def test_ext4_without_a_partition_table_is_read(image_kit: ImageKit, bench: Bench, options: str) -> None:
    made = bench(f"""
        mke2fs -q -t ext4 -d tree {options} image 96M
        printf 'cd dev\\nmknod null c 1 3\\n' | debugfs -w -f - image
    """)
    built = build(image_kit, made / "image")
    assert_kept(built)
    assert "not kept: device nodes, which a running machine makes itself: dev/null" in built.log


DISK = """
mkdir -p boot/grub tree/boot
printf 'a kernel' >boot/vmlinuz-6.1
echo 'of the other disk' >boot/grub/grub.cfg
echo 'LABEL=BOOT /boot ext4 defaults 0 2' >>tree/etc/fstab
mke2fs -q -t ext4 -L BOOT -d boot 1.part 16M
mkfs.vfat -C -n UEFI 2.part 8192
mke2fs -q -t ext4 -d tree 3.part 96M
truncate -s 124M disk
printf 'label: gpt\nsize=16MiB\nsize=8MiB\nsize=96MiB\n' | sfdisk -q disk
at=1
for part in 1 2 3; do
    dd if=$part.part of=disk bs=1M seek=$at conv=notrunc,sparse status=none
    at=$((at + $(stat -c %s $part.part) / 1048576))
done
qemu-img convert -c -O qcow2 disk image
"""


def test_a_qcow2_with_a_boot_partition_of_its_own_becomes_one_tree(image_kit: ImageKit, bench: Bench) -> None:
    built = build(image_kit, bench(DISK) / "image")
    assert_kept(built)
    assert built.read("boot/vmlinuz-6.1") == "a kernel"
    assert not built.exists("boot/grub/grub.cfg")
    assert not built.exists("lost+found")
    assert built.read("etc/fstab").splitlines()[1:] == ["tmpfs /scratch tmpfs defaults 0 0"]
    assert "not kept: /boot/efi lies on a filesystem of its own (LABEL=UEFI), which is not read" in built.log
    assert "the image has a kernel: /boot/vmlinuz-6.1" in built.log


def test_btrfs_is_read(image_kit: ImageKit, bench: Bench) -> None:
    built = build(image_kit, bench("truncate -s 256M image; mkfs.btrfs -q --rootdir tree image") / "image")
    assert built.mode("usr/bin/su") == 0o4755
    assert built.owner("var/mail/ann") == (1000, 8)
    assert built.tree.get("usr/bin/ping").attributes["security.capability"] == CAPABILITY


def test_a_qcow2_that_is_only_a_difference_is_refused(image_kit: ImageKit, bench: Bench, tmp_path: Path) -> None:
    """Its other half could be any file of the host."""
    other = tmp_path / "other.raw"
    other.write_bytes((bench("mke2fs -q -t ext4 -d tree other 96M") / "other").read_bytes())
    image = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", other, image], check=True)
    text = fails(image_kit, image, "cannot be read")
    assert "only the difference" in text or "cannot be opened" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"<html>" * 100, "neither a partition table nor a filesystem"), (b"hsqs" + bytes(200), "squash")],
    ids=["empty", "page", "squashfs"],
)
def test_what_is_no_image_is_refused(image_kit: ImageKit, tmp_path: Path, content: bytes, said: str) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    fails(image_kit, image, said)


def test_a_compressed_disk_is_told_from_a_compressed_archive(image_kit: ImageKit, tmp_path: Path) -> None:
    image = tmp_path / "image.raw.xz"
    image.write_bytes(lzma.compress(bytes(4096)))
    fails(image_kit, image, "what xz has compressed in it is no tar archive; unpack it first")


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_holes_of_an_archive_are_holes_of_the_tree(image_kit: ImageKit, bench: Bench, form: str) -> None:
    made = bench(f"""
        truncate -s 5M tree/srv-hole
        printf end >>tree/srv-hole
        tar --create --sparse --format={form} --xattrs --xattrs-include='*' -f image -C tree .
    """)
    assert (made / "image").stat().st_size < 5 * 2**20
    built = build(image_kit, made / "image")
    assert_kept(built)
    assert built.tree.read_bytes("srv-hole") == bytes(5 * 2**20) + b"end"


def archive(path: Path, *members: dict[str, object]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
        for member in members:
            add(made, **member)  # type: ignore[arg-type]
    return path


def test_an_archive_without_a_system_is_refused(image_kit: ImageKit, tmp_path: Path) -> None:
    image = archive(tmp_path / "image.tar", {"name": "disk.raw", "content": "a disk in an archive"})
    fails(image_kit, image, "holds no operating system")


def test_a_system_without_apt_is_refused(image_kit: ImageKit, tmp_path: Path) -> None:
    image = archive(tmp_path / "image.tar", {"name": "etc/os-release", "content": "ID=fedora\n"})
    fails(image_kit, image, "whose packages apt does not handle")
