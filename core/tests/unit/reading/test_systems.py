"""Which kernel, which ramdisk, which command line."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
from imagewright.reading.commandline import command_line
from imagewright.reading.errors import ImageUnreadable

from .conftest import MIB, NEW, OLD, UUID, Machine, ext4, joined, looked_at, make_machine, noise, same, taken

CONSOLES = "console=tty0 console=ttyS0,115200"
BOOT_UUID = "aaaaaaaa-0000-4000-8000-000000000001"


@pytest.fixture
def own(tmp_path: Path) -> Machine:
    return make_machine(tmp_path / "root")


def line(path: Path, version: str = "") -> object:
    return looked_at(path, lambda _, system: command_line(system, system.choose(version)))


def test_all_kernels_are_listed_the_newest_first(tmp_path: Path, machine: Machine) -> None:
    path = ext4(tmp_path / "disk.raw", machine)
    listed = looked_at(path, lambda _, system: [(one.version, one.kernel.path) for one in system.kernels])
    assert listed == [(NEW, f"/boot/vmlinuz-{NEW}"), (OLD, f"/boot/vmlinuz-{OLD}")]


def test_a_kernel_without_ramdisk_is_listed_but_not_taken(tmp_path: Path, own: Machine) -> None:
    (own.folder / "boot/vmlinuz-7.0").write_bytes(b"without")
    path = ext4(tmp_path / "disk.raw", own)
    assert taken(path)[0] == NEW
    assert looked_at(path, lambda _, system: system.kernels[0].version) == "7.0"
    with pytest.raises(ImageUnreadable, match="no ramdisk for the kernel 7.0"):
        taken(path, "7.0")
    with pytest.raises(ImageUnreadable, match="no kernel 8") as caught:
        taken(path, "8")
    assert caught.value.where == (f"kernels: 7.0, {NEW}, {OLD}",)


@pytest.mark.parametrize(
    "name", ["initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initrd-{}.img", "initramfs-{}"], ids=lambda name: name
)
def test_the_ramdisk_of_each_distribution_is_found(tmp_path: Path, own: Machine, name: str) -> None:
    (own.folder / f"boot/initrd.img-{NEW}").rename(own.folder / "boot" / name.format(NEW))
    same(ext4(tmp_path / "disk.raw", own), own)


def test_a_kernel_beside_its_modules_is_found(tmp_path: Path, own: Machine) -> None:
    folder = own.folder / f"usr/lib/modules/{NEW}"
    folder.mkdir()
    (own.folder / f"boot/vmlinuz-{NEW}").rename(folder / "vmlinuz")
    (own.folder / "vmlinuz").unlink()
    same(ext4(tmp_path / "disk.raw", own), own)


def test_a_kernel_without_a_version_in_its_name_is_found_if_it_is_the_only_one(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "boot").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/fstab").touch()
    kernel = bytearray(noise(1, 100_000))
    kernel[0x202:0x206] = b"HdrS"
    kernel[0x20E:0x210] = (0x3000).to_bytes(2, "little")
    kernel[0x3200:0x3220] = b"6.6.1-lts (builder@x) #1\0".ljust(32, b"\0")
    (root / "boot/vmlinuz").write_bytes(kernel)
    (root / "boot/initrd.img").write_bytes(b"ramdisk")
    machine = Machine(folder=root, kernels={}, ramdisks={})
    assert taken(ext4(tmp_path / "disk.raw", machine)) == ("6.6.1-lts", bytes(kernel), b"ramdisk")


@pytest.mark.parametrize("named", ["fstab", "nothing"])
def test_boot_on_its_own_partition_is_found(tmp_path: Path, named: str) -> None:
    root = make_machine(tmp_path / "root")
    boot = Machine(folder=tmp_path / "boot", kernels=root.kernels, ramdisks=root.ramdisks)
    (root.folder / "boot").rename(boot.folder)
    (root.folder / "boot").mkdir()
    if named == "fstab":
        with (root.folder / "etc/fstab").open("a") as file:
            file.write(f"UUID={BOOT_UUID} /boot ext4 defaults 0 2\n")
    root_part = ext4(tmp_path / "root.raw", root)
    boot_part = ext4(tmp_path / "boot.raw", boot, "-U", BOOT_UUID)
    disk = joined(tmp_path / "disk.raw", "gpt", boot_part, root_part, sizes=64)
    same(disk, root)
    assert line(disk) == f"root=UUID={UUID} ro {CONSOLES}"


def test_damage_of_another_partition_is_no_hindrance(tmp_path: Path, machine: Machine) -> None:
    part = ext4(tmp_path / "part.raw", machine)
    disk = joined(tmp_path / "disk.raw", "gpt", part, part, sizes=64)
    with disk.open("r+b") as file:
        file.seek(MIB + 2048)
        file.write(b"\xff" * 40000)
    same(disk, machine)


def test_the_boot_loaders_arguments_are_taken_with_a_root_that_lasts(tmp_path: Path, own: Machine) -> None:
    assert line(ext4(tmp_path / "a.raw", own)) == f"root=UUID={UUID} ro {CONSOLES}"
    grub = own.folder / "boot/grub/grub.cfg"
    grub.write_text(grub.read_text().replace("root=/dev/vda1", "root=LABEL=cloud"))
    assert line(ext4(tmp_path / "b.raw", own)) == f"root=LABEL=cloud ro {CONSOLES}"


def test_an_entry_of_the_boot_loader_specification_is_read(tmp_path: Path, own: Machine) -> None:
    shutil.rmtree(own.folder / "boot/grub")
    (own.folder / "boot/loader/entries").mkdir(parents=True)
    (own.folder / "boot/grub2").mkdir()
    (own.folder / "boot/grub2/grubenv").write_text(f"# GRUB\nkernelopts=root=UUID={UUID} ro quiet\n####")
    (own.folder / "boot/loader/entries/a.conf").write_text(
        f"title X\nversion {NEW}\nlinux /vmlinuz-{NEW}\noptions $kernelopts $tuned_params console=ttyS0\n"
    )
    assert line(ext4(tmp_path / "a.raw", own)) == f"root=UUID={UUID} ro quiet console=ttyS0"


def test_without_a_boot_loader_the_settings_of_the_system_count(tmp_path: Path, own: Machine) -> None:
    shutil.rmtree(own.folder / "boot/grub")
    assert line(ext4(tmp_path / "a.raw", own)) == f"root=UUID={UUID} ro"
    (own.folder / "etc/default").mkdir()
    (own.folder / "etc/default/grub").write_text(
        'X=1\nGRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\nGRUB_CMDLINE_LINUX=a=1\n'
    )
    assert line(ext4(tmp_path / "b.raw", own)) == f"root=UUID={UUID} ro a=1 quiet splash"
    (own.folder / "etc/kernel").mkdir()
    (own.folder / "etc/kernel/cmdline").write_text("rw\nconsole=ttyS1\n")
    assert line(ext4(tmp_path / "c.raw", own)) == f"root=UUID={UUID} rw console=ttyS1"


def test_what_an_image_says_cannot_command_a_terminal(tmp_path: Path, own: Machine) -> None:
    (own.folder / "boot/grub/grub.cfg").write_text(f"linux /boot/vmlinuz-{NEW} root=UUID={UUID} \x1b]0;x\x07 ro\n")
    (own.folder / "boot/vmlinuz-9.0\x1b[31m").write_bytes(b"x")
    path = ext4(tmp_path / "a.raw", own)
    assert line(path) == f"root=UUID={UUID} ro"
    assert taken(path)[0] == NEW


def test_a_tar_archive_of_a_root_tree_is_read(tmp_path: Path, own: Machine) -> None:
    (own.folder / "boot/hard").hardlink_to(own.folder / f"boot/vmlinuz-{OLD}")
    (own.folder / "etc/fstab").write_text("LABEL=cloud / ext4 defaults 0 1\n")
    path = tmp_path / "web.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(own.folder, ".")
    same(path, own)
    assert line(path) == f"root=LABEL=cloud ro {CONSOLES}"
    with path.open("r+b") as file:
        file.truncate(2 * MIB)
    with pytest.raises(ImageUnreadable):
        taken(path)


def test_an_image_without_a_kernel_says_so_and_a_damaged_one_that_it_is_damaged(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/fstab").touch()
    path = ext4(tmp_path / "disk.raw", Machine(folder=root, kernels={}, ramdisks={}))
    with pytest.raises(ImageUnreadable, match="holds no kernel") as caught:
        taken(path)
    assert caught.value.reference == "no-kernel"
    with path.open("r+b") as file:
        # the superblock's size of a block
        file.seek(1024 + 24)
        file.write(b"\xff")
    with pytest.raises(ImageUnreadable, match="no kernel can be read from the image") as caught:
        taken(path)
    assert caught.value.reference == "image-damaged"
