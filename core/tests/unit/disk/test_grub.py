"""The boot loader in the disk."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from imagewright.disk import grub
from imagewright.errors import PlanError, StepFailed
from imagewright.types import MIB

UUID = "22222222-0000-4000-8000-000000000000"
HOST = Path("/usr/lib/grub")
needs_grub = pytest.mark.skipif(
    not (HOST / "i386-pc/boot.img").exists() or not (HOST / "x86_64-efi/kernel.img").exists(),
    reason="the host has no modules of GRUB to build with",
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target/usr/lib").mkdir(parents=True)
    (tmp_path / "target/usr/lib/grub").symlink_to(HOST)
    return tmp_path / "target"


def test_a_tree_without_grub_names_the_packages(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        grub.check(str(tmp_path))
    assert "grub-pc-bin and grub-efi-amd64-bin" in caught.value.message
    assert caught.value.hint == "add -p grub-pc-bin,grub-efi-amd64-bin"


@needs_grub
def test_a_tree_that_lacks_one_platform_names_its_package_only(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/grub").mkdir(parents=True)
    (tmp_path / "usr/lib/grub/x86_64-efi").symlink_to(HOST / "x86_64-efi")
    assert grub.missing_packages(str(tmp_path)) == ("grub-pc-bin",)


def test_the_first_sectors_say_where_the_rest_lies() -> None:
    boot, core = grub.patched(bytes(512), bytes(512 * 3 + 1), 2048)
    assert struct.unpack_from("<Q", boot, 0x5C) == (2048,)
    assert boot[0x66:0x68] == b"\x90\x90"
    assert struct.unpack_from("<QHH", core, 500) == (2049, 3, 0x820)


@needs_grub
def test_the_patches_replace_what_gnu_grub_has_there(target: Path, tmp_path: Path) -> None:
    boot = (HOST / "i386-pc/boot.img").read_bytes()
    assert struct.unpack_from("<Q", boot, 0x5C) == (1,)
    assert boot[0x66] == 0xEB  # the jump that trusts what the firmware says
    core = grub.bios_image(str(target), UUID, 1, tmp_path)
    start, _, segment = struct.unpack_from("<QHH", core, 500)
    assert (start, segment) == (2, 0x820)


@needs_grub
def test_embedding_keeps_the_partition_table_of_the_first_sector(target: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xaa" * (3 * MIB))
    core = grub.bios_image(str(target), UUID, 1, tmp_path)
    grub.embed_bios(str(target), core, disk, MIB, MIB)
    data = disk.read_bytes()
    assert data[:3] == (HOST / "i386-pc/boot.img").read_bytes()[:3]
    assert data[440:MIB] == b"\xaa" * (MIB - 440)
    assert data[MIB + 512 : MIB + len(core)] == core[512:]
    assert data[MIB + len(core) :] == b"\xaa" * (2 * MIB - len(core))
    with pytest.raises(PlanError, match="BIOS boot partition"):
        grub.embed_bios(str(target), core, disk, MIB, 64 * 512)


@needs_grub
def test_both_loaders_are_the_same_each_time_and_know_the_root_filesystem(target: Path, tmp_path: Path) -> None:
    efi = grub.efi_image(str(target), UUID, 1, tmp_path)
    assert efi == grub.efi_image(str(target), UUID, 1, tmp_path)
    assert grub.bios_image(str(target), UUID, 1, tmp_path) == grub.bios_image(str(target), UUID, 1, tmp_path)
    assert efi[:2] == b"MZ"
    assert f"--set=root {UUID}".encode() in efi
    assert b"has no /boot/grub/grub.cfg" in efi
    assert efi != grub.efi_image(str(target), UUID.replace("2", "3"), 1, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@needs_grub
@pytest.mark.parametrize("platform", ["i386-pc", "x86_64-efi"])
def test_what_a_generated_grub_cfg_asks_for_is_built_in(platform: str) -> None:
    modules = set(grub.modules_of(HOST / platform, platform))
    assert modules >= {
        "normal", "configfile", "linux", "gzio", "loadenv", "test", "regexp", "all_video", "gfxterm", "gettext",
        "search_fs_uuid", "search_label", "part_gpt", "part_msdos", "ext2", "echo", "sleep", "true", "minicmd",
        "reboot", "halt", "ls", "cat", "font", "png",
    }  # fmt: skip
    assert ("efi_gop" in modules) == (platform == "x86_64-efi")
    assert ("biosdisk" in modules) == (platform == "i386-pc")


@needs_grub
def test_a_damaged_core_fails_with_what_grub_mkimage_said(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/grub/i386-pc"
    folder.mkdir(parents=True)
    for path in (HOST / "i386-pc").iterdir():
        if path.name != "kernel.img":
            (folder / path.name).symlink_to(path)
    (folder / "kernel.img").write_bytes(b"no core")
    with pytest.raises(StepFailed, match="grub-mkimage ended with status") as caught:
        grub.bios_image(str(tmp_path), UUID, 1, tmp_path)
    assert caught.value.where


@needs_grub
@pytest.mark.skipif(shutil.which("grub-script-check") is None, reason="the host has no grub-script-check")
def test_the_script_that_finds_the_root_filesystem_is_one_that_grub_reads(target: Path, tmp_path: Path) -> None:
    image = grub.efi_image(str(target), UUID, 1, tmp_path)
    start = image.index(b"if serial")
    script = image[start : image.index(b"\0", start)]
    assert script.count(UUID.encode()) == 3
    subprocess.run(["grub-script-check"], input=script, check=True)
