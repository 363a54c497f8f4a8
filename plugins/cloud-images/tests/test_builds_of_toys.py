"""Whole builds from small images: a toy tree in every kind of image that is read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
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


@pytest.fixture
def toy_folder(toy_tree: bytes, tmp_path: Path) -> Path:
    """The tree unpacked, by the host's tar as root."""
    if os.getuid() != 0:
        pytest.skip("only root can lay the tree down with its owners")
    folder = tmp_path / "tree"
    folder.mkdir()
    argv = ["tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-p", "-C", str(folder)]
    subprocess.run(argv, input=toy_tree, check=True)
    return folder


def run(*argv: object) -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True)


def test_a_squashfs_is_read(image_kit: ImageKit, toy_folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.squashfs"
    run("mksquashfs", toy_folder, image, "-comp", "zstd", "-no-progress")
    built = build(image_kit, image)
    assert_kept(built)
    assert "device nodes" in built.log


def ext4(folder: Path, image: Path, *options: str) -> Path:
    run("mke2fs", "-q", "-t", "ext4", "-d", folder, *options, image, "96M")
    return image


@pytest.mark.parametrize("options", [(), ("-I", "128"), ("-b", "1024")], ids=["plain", "small-inodes", "small-blocks"])
def test_ext4_without_a_partition_table_is_read(
    image_kit: ImageKit, toy_folder: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert_kept(build(image_kit, ext4(toy_folder, tmp_path / "image.raw", *options)))


def partitioned(parts: list[Path], image: Path) -> Path:
    """A GPT disk with these filesystems."""
    sizes = [part.stat().st_size // 2**20 for part in parts]
    with image.open("wb") as disk:
        disk.truncate((sum(sizes) + 4) * 2**20)
    table = "label: gpt\n" + "".join(f"size={size}MiB\n" for size in sizes)
    subprocess.run(["sfdisk", "-q", str(image)], input=table, text=True, check=True, capture_output=True)
    at = 1
    for part, size in zip(parts, sizes, strict=True):
        run("dd", f"if={part}", f"of={image}", "bs=1M", f"seek={at}", "conv=notrunc,sparse")
        at += size
    return image


def test_a_qcow2_with_a_boot_partition_of_its_own_becomes_one_tree(
    image_kit: ImageKit, toy_folder: Path, tmp_path: Path
) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    (boot / "vmlinuz-6.1").write_bytes(b"a kernel")
    (boot / "grub").mkdir()
    (boot / "grub" / "grub.cfg").write_text("of the other disk")
    (toy_folder / "boot").mkdir(exist_ok=True)
    with (toy_folder / "etc/fstab").open("a") as table:
        table.write("LABEL=BOOT /boot ext4 defaults 0 2\n")
    esp = tmp_path / "esp"
    run("mkfs.vfat", "-C", "-n", "UEFI", esp, "8192")
    parts = [ext4(boot, tmp_path / "b", "-L", "BOOT"), esp, ext4(toy_folder, tmp_path / "r")]
    raw = partitioned(parts, tmp_path / "disk.raw")
    image = tmp_path / "disk.qcow2"
    run("qemu-img", "convert", "-c", "-O", "qcow2", raw, image)
    built = build(image_kit, image)
    assert_kept(built)
    assert built.read("boot/vmlinuz-6.1") == "a kernel"
    assert not built.exists("boot/grub/grub.cfg")
    assert not built.exists("lost+found")
    assert built.read("etc/fstab").splitlines()[1:] == ["tmpfs /scratch tmpfs defaults 0 0"]
    assert "not kept: /boot/efi lies on a filesystem of its own (LABEL=UEFI), which is not read" in built.log
    assert "the image has a kernel: /boot/vmlinuz-6.1" in built.log


def test_btrfs_is_read(image_kit: ImageKit, toy_folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    with image.open("wb") as file:
        file.truncate(256 * 2**20)
    run("mkfs.btrfs", "-q", "--rootdir", toy_folder, image)
    built = build(image_kit, image)
    assert built.mode("usr/bin/su") == 0o4755
    assert built.owner("var/mail/ann") == (1000, 8)
    assert built.tree.get("usr/bin/ping").attributes["security.capability"] == CAPABILITY


def test_a_qcow2_that_is_only_a_difference_is_refused(image_kit: ImageKit, toy_folder: Path, tmp_path: Path) -> None:
    """Its other half could be any file of the host."""
    backing = ext4(toy_folder, tmp_path / "backing.raw")
    image = tmp_path / "image.qcow2"
    run("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", backing, image)
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
