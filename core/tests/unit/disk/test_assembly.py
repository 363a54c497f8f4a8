"""Whole disks."""

from __future__ import annotations

import filecmp
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from imagewright.disk import assembly
from imagewright.errors import ContractError, PlanError
from imagewright.types import GIB, MIB, Layout, Partition

HOST = Path("/usr/lib/grub")
ROOT = "22222222-0000-4000-8000-000000000000"
SEEDS = {"disk": "11111111-0000-4000-8000-000000000000"}
LINUX = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
BIOS = Partition(name="bios", type="21686148-6449-6E6F-744E-656564454649", size=MIB, role="bios-boot")
ESP = Partition(
    name="esp", type="C12A7328-F81F-11D2-BA4B-00A0C93EC93B", size=64 * MIB, role="esp", filesystem="vfat", label="ESP"
)
STATE = Partition(name="state", type=LINUX, size=32 * MIB, filesystem="ext4", label="state")
LAST = Partition(name="root", type=LINUX, role="root", filesystem="ext4")
PLAIN = Layout(partitions=(STATE, LAST))
WITH_GRUB = Layout(boot_loader="grub", partitions=(BIOS, ESP, STATE, LAST))
needs_grub = pytest.mark.skipif(
    not (HOST / "i386-pc/boot.img").exists() or not (HOST / "x86_64-efi/kernel.img").exists(),
    reason="the host has no modules of GRUB to build with",
)


def assemble(target: Path, disk: Path, layout: Layout | None, size: int = 192 * MIB) -> dict[str, Any]:
    form = None if layout is None else json.loads(json.dumps(assembly.layout_json(layout)))
    result = assembly.assemble(
        target=str(target),
        disk=str(disk),
        size=size,
        layout=form,
        root_uuid=ROOT,
        seeds=SEEDS,
        root_label="cloudimg-rootfs",
        epoch=1_700_000_000,
        boot_loader="" if layout is None else layout.boot_loader,
    )
    assert json.loads(json.dumps(result)) == result
    return result


def head(disk: Path) -> bytes:
    with disk.open("rb") as file:
        return file.read(512)


@needs_grub
def test_a_disk_with_everything_is_clean_and_the_same_each_time(
    tmp_path: Path, make_tree: Callable[..., Path], check: Callable[..., None], debugfs: Callable[..., str]
) -> None:
    for name, backwards in (("a", False), ("b", True)):
        tree = make_tree(f"tree-{name}", backwards=backwards)
        (tree / "usr/lib").mkdir()
        (tree / "usr/lib/grub").symlink_to(HOST)
        result = assemble(tree, tmp_path / name, WITH_GRUB)
        time.sleep(2.1)
    disk = tmp_path / "a"
    assert filecmp.cmp(disk, tmp_path / "b", shallow=False)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "tree-a", "tree-b"}
    check("sgdisk", "-v", str(disk))
    root = result["root"]
    assert root == {
        "partition": 4, "offset": 98 * MIB, "size": (192 - 99) * MIB, "uuid": ROOT, "label": "cloudimg-rootfs",
    }  # fmt: skip
    assert [(one["number"], one["role"], one["filesystem"]) for one in result["partitions"]] == [
        (1, "bios-boot", ""), (2, "esp", "vfat"), (3, "data", "ext4"), (4, "root", "ext4"),
    ]  # fmt: skip
    for one in result["partitions"][2:]:
        check("e2fsck", "-fn", f"{disk}?offset={one['offset']}")
    assert "older than the epoch" in debugfs(disk, "cat /etc/old", root["offset"])
    listing = subprocess.run(["mdir", "-b", "-i", f"{disk}@@{2 * MIB}", "::EFI/BOOT"], capture_output=True, text=True)
    assert listing.stdout.strip() == "::/EFI/BOOT/BOOTX64.EFI"
    with disk.open("rb") as file:
        assert file.read(1) == b"\xeb"
        file.seek(MIB)
        assert file.read(1) == (HOST / "i386-pc/diskboot.img").read_bytes()[:1]
    assert set(result["tools"]) == set(assembly.tools_needed(WITH_GRUB, "grub"))
    assert result["tools"]["mke2fs"].startswith("mke2fs 1.")


def test_without_a_layout_the_disk_is_one_filesystem(
    tmp_path: Path, make_tree: Callable[..., Path], check: Callable[..., None]
) -> None:
    result = assemble(make_tree("tree"), tmp_path / "disk", None)
    check("e2fsck", "-fn", str(tmp_path / "disk"))
    assert result["partitions"] == []
    assert (result["root"]["partition"], result["root"]["offset"], result["root"]["size"]) == (None, 0, 192 * MIB)
    assert (tmp_path / "disk").stat().st_size == 192 * MIB
    assert (tmp_path / "disk").stat().st_blocks * 512 < 32 * MIB


def test_what_was_in_the_file_before_is_gone(tmp_path: Path, make_tree: Callable[..., Path]) -> None:
    tree = make_tree("tree")
    assemble(tree, tmp_path / "a", PLAIN)
    (tmp_path / "b").write_bytes(b"\xff" * (200 * MIB))
    assemble(tree, tmp_path / "b", PLAIN)
    assert filecmp.cmp(tmp_path / "a", tmp_path / "b", shallow=False)


def test_names_with_special_characters_do_no_harm(tmp_path: Path, make_tree: Callable[..., Path]) -> None:
    folder = tmp_path / "a b?c@@2:d"
    folder.mkdir()
    assemble(make_tree("tree"), tmp_path / "plain", Layout(partitions=(ESP, LAST)))
    assemble(tmp_path / "tree", folder / "disk?offset=5", Layout(partitions=(ESP, LAST)))
    assert filecmp.cmp(tmp_path / "plain", folder / "disk?offset=5", shallow=False)


def test_the_root_filesystem_goes_into_the_partition_that_a_script_made(
    tmp_path: Path, make_tree: Callable[..., Path], check: Callable[..., None], debugfs: Callable[..., str]
) -> None:
    disk = tmp_path / "disk"
    assembly.make_blank(disk=str(disk), size=448 * MIB)
    script = "label: dos\nsize=100M\nsize=300M, bootable\n"
    subprocess.run(["/usr/sbin/sfdisk", "-q", str(disk)], input=script, text=True, check=True)
    before = head(disk)
    arguments: dict[str, Any] = {"target": str(make_tree("tree")), "disk": str(disk), "root_uuid": ROOT, "seeds": SEEDS}
    arguments |= {"root_label": "root", "epoch": 1}
    result = assembly.make_filesystem_at(partition=2, **arguments)
    assert (result["root"]["offset"], result["root"]["size"]) == (101 * MIB, 300 * MIB)
    assert [one["role"] for one in result["partitions"]] == ["data", "root"]
    # all but the table's identifier, which sfdisk took at random (bytes 440 to 443 of a DOS table)
    after = head(disk)
    assert (after[:440], after[444:]) == (before[:440], before[444:])
    assert assembly.make_filesystem_at(partition=2, **arguments) == result
    assert head(disk) == after
    check("e2fsck", "-fn", f"{disk}?offset={101 * MIB}")
    assert "older" in debugfs(disk, "cat /etc/old", 101 * MIB)
    with pytest.raises(ContractError, match="no partition 3"):
        assembly.make_filesystem_at(partition=3, **arguments)
    assert assembly.make_filesystem_at(partition=None, **arguments)["root"]["size"] == 448 * MIB
    check("e2fsck", "-fn", str(disk))


@pytest.mark.parametrize("layout", [None, PLAIN])
def test_a_disk_too_small_for_the_content_says_what_is_needed(tmp_path: Path, layout: Layout | None) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "large").write_bytes(b"x" * (80 * MIB))
    with pytest.raises(PlanError) as caught:
        assemble(tree, tmp_path / "disk", layout, 96 * MIB if layout else 64 * MIB)
    assert "--image-size" in caught.value.hint
    assert "96 MiB" in caught.value.message or "64 MiB" in caught.value.message


def test_the_size_that_an_error_names_is_enough(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "large").write_bytes(b"x" * (80 * MIB))
    with pytest.raises(PlanError) as caught:
        assemble(tree, tmp_path / "disk", PLAIN, 100 * MIB)
    named = float(caught.value.hint.split("--image-size ")[1].split()[0])
    assemble(tree, tmp_path / "disk", PLAIN, int(named * GIB) // MIB * MIB)


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        (Layout(partitions=(STATE,)), "one partition with the role root, this one 0"),
        (Layout(partitions=(LAST, LAST)), "one partition with the role root, this one 2"),
        (Layout(partitions=(BIOS, LAST), boot_loader="grub"), "role esp"),
    ],
)
def test_a_layout_that_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, layout: Layout, sentence: str
) -> None:
    with pytest.raises(ContractError, match=sentence):
        assemble(tmp_path, tmp_path / "disk", layout)
    assert not (tmp_path / "disk").exists()


def test_a_tree_without_the_boot_loaders_files_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="grub-pc-bin"):
        assemble(tmp_path, tmp_path / "disk", WITH_GRUB)
    assert not (tmp_path / "disk").exists()


def test_a_layout_survives_its_json_form() -> None:
    assert assembly.layout_from_json(json.loads(json.dumps(assembly.layout_json(WITH_GRUB)))) == WITH_GRUB


def test_only_the_programs_that_a_disk_needs_are_asked_for() -> None:
    assert assembly.tools_needed(None, "") == ("mke2fs", "debugfs")
    assert assembly.tools_needed(PLAIN, "") == ("mke2fs", "debugfs", "sfdisk")
    assert assembly.tools_needed(WITH_GRUB, "grub")[3:] == ("mkfs.vfat", "mmd", "mcopy", "grub-mkimage")
