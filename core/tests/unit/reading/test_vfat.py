"""FAT filesystems that mkfs.vfat and mtools made."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from pathlib import Path

import pytest
from imagewright.reading.blocks import FileBlocks
from imagewright.reading.errors import Damaged, ImageUnreadable
from imagewright.reading.images import open_image, readable
from imagewright.reading.systems import find_system
from imagewright.reading.vfat import VfatTree

LONG = "initrd.img-6.1.0-18-amd64 with a rather long name, in two cases and with ümläuts"
MIB = 2**20
SIZES = [(12, 4), (16, 32), (32, 64)]


def sh(*argv: object, **more: str) -> None:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", **more}
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


def made(path: Path, bits: int, mib: int, files: dict[str, bytes], *, sector: int = 512) -> Path:
    with path.open("wb") as file:
        file.truncate(mib * MIB)
    sh("mkfs.vfat", "-F", bits, "-S", sector, "-n", "BOOT", "-i", "ABCD1234", path)
    tree = path.with_name("tree")
    for name, content in files.items():
        source = tree / name.lstrip("/")
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(content)
    sh("mcopy", "-s", "-i", path, *sorted(tree.iterdir()), "::/")
    return path


def opened(path: Path) -> VfatTree:
    return VfatTree(FileBlocks(path))


@pytest.mark.parametrize(("bits", "mib"), SIZES)
@pytest.mark.parametrize("sector", [512, 2048])
def test_files_are_read_by_their_names(bits: int, mib: int, sector: int, tmp_path: Path) -> None:
    big = random.Random(bits).randbytes(1_300_001)
    files = {
        "/short.txt": b"one",
        "/UPPER.TXT": b"two",
        f"/{LONG}": big,
        "/folder/below/Mixed": b"three",
        "/empty": b"",
    }
    tree = opened(made(tmp_path / "disk", bits, mib * (sector // 512), files, sector=sector))
    assert tree.names("/") == tuple(sorted(["short.txt", "UPPER.TXT", LONG, "folder", "empty"]))
    for name, content in files.items():
        node = tree.find(name)
        assert node is not None, name
        assert b"".join(tree.chunks(node)) == content
    assert (tree.uuid, tree.label) == ("abcd-1234", "BOOT")


def test_a_folder_of_many_clusters_and_files_that_are_gone_are_read(tmp_path: Path) -> None:
    names = [f"a name that takes several entries {number}" for number in range(150)]
    disk = made(tmp_path / "disk", 32, 64, {f"/many/{name}": name.encode() for name in names})
    sh("mdel", "-i", disk, f"::/many/{names[7]}")
    tree = opened(disk)
    assert set(tree.names("/many")) == {name for name in names if name != names[7]}


@pytest.mark.parametrize(("bits", "mib"), SIZES)
def test_a_changed_byte_is_damage_or_changes_nothing_else(bits: int, mib: int, tmp_path: Path) -> None:
    disk = made(tmp_path / "disk", bits, mib, {"/folder/file": b"content" * 9000})
    chance = random.Random(bits)
    for _ in range(150):
        at = chance.choice([chance.randrange(64), chance.randrange(512, 32768), chance.randrange(mib * MIB)])
        with disk.open("r+b", buffering=0) as file:
            file.seek(at)
            before = file.read(1)
            file.seek(at)
            file.write(bytes([before[0] ^ 1 << chance.randrange(8)]))
            with contextlib.suppress(Damaged):
                tree = opened(disk)
                for name in tree.names("/folder"):
                    node = tree.find(f"/folder/{name}")
                    if node is not None and node.kind == "file":
                        assert sum(map(len, tree.chunks(node))) == node.size
            file.seek(at)
            file.write(before)


def test_a_chain_that_bites_its_tail_is_damage(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk", 32, 64, {"/folder/file": b"content"})
    tree = opened(disk)
    node = tree.find("/folder")
    assert node is not None
    cluster = node.reference[0]
    with disk.open("r+b") as file:
        file.seek(tree._table + 4 * cluster)
        file.write(cluster.to_bytes(4, "little"))
    with pytest.raises(Damaged, match="has no end"):
        opened(disk).names("/folder")


def test_a_kernel_on_a_boot_partition_with_fat_is_found(tmp_path: Path) -> None:
    kernel, ramdisk = b"kernel" * 5000, b"ramdisk" * 9000
    boot = made(tmp_path / "boot", 32, 64, {"/vmlinuz-6.1.0-18-amd64": kernel, "/initrd.img-6.1.0-18-amd64": ramdisk})
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(80 * MIB)
        file.seek(MIB)
        file.write(boot.read_bytes())
    script = b'label: gpt\nstart=2048, size=131072, type=U, name="esp"\n'
    path = f"{os.environ['PATH']}:/usr/sbin"
    subprocess.run(["sfdisk", "-q", disk], input=script, check=True, env={"PATH": path})
    with open_image(disk) as image, readable(disk):
        (found,) = find_system(image).kernels
        assert (found.version, found.kernel.path) == ("6.1.0-18-amd64", "/vmlinuz-6.1.0-18-amd64")
        assert b"".join(found.kernel.chunks()) == kernel
        assert found.ramdisk is not None
        assert b"".join(found.ramdisk.chunks()) == ramdisk


def test_one_without_a_kernel_is_said_to_have_none(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk", 16, 32, {"/EFI/BOOT/BOOTX64.EFI": b"no kernel"})
    with pytest.raises(ImageUnreadable, match="holds no kernel"), open_image(disk) as image:
        find_system(image)
