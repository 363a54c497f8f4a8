"""btrfs as mkfs.btrfs makes it from a folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.reading.commandline import command_line
from imagewright.reading.images import Image, open_image
from imagewright.reading.systems import System

from .conftest import NEW, UUID, Machine, btrfs, looked_at, make_machine, needed, same
from .test_ext4 import check_many


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--mixed",),
        ("--nodesize", "4096", "--mixed"),
        ("-O", "^no-holes"),
        ("-m", "single"),
        ("-m", "dup", "-d", "dup"),
    ],
    ids=",".join,
)
def test_kernels_come_out_to_the_byte(tmp_path: Path, machine: Machine, options: tuple[str, ...]) -> None:
    same(btrfs(tmp_path / "disk.raw", machine, *options), machine)


def test_the_filesystem_says_its_uuid_and_label(tmp_path: Path, machine: Machine) -> None:
    path = btrfs(tmp_path / "disk.raw", machine)
    names = looked_at(path, lambda _, system: (system.root.type, system.root.uuid, system.root.label))
    assert names == ("btrfs", UUID, "cloud")


def test_long_folders_and_links_of_every_length_are_followed(tmp_path: Path, put_many: Callable[[Path], None]) -> None:
    machine = make_machine(tmp_path / "root")
    put_many(machine.folder)
    check_many(btrfs(tmp_path / "disk.raw", machine))


@pytest.mark.parametrize("packing", ["zlib", "lzo", "zstd"])
def test_compressed_files_come_out_to_the_byte(tmp_path: Path, machine: Machine, packing: str) -> None:
    capable("--compress")
    same(btrfs(tmp_path / "disk.raw", machine, "--compress", packing), machine)


def test_a_root_in_a_subvolume_is_found_and_named_on_the_command_line(tmp_path: Path) -> None:
    capable("--subvol")
    machine = make_machine(tmp_path / "top/systems/root")
    top = Machine(folder=tmp_path / "top", kernels=machine.kernels, ramdisks=machine.ramdisks)
    path = btrfs(tmp_path / "disk.raw", top, "--subvol", "systems/root")
    same(path, machine)
    assert (
        looked_at(path, line) == f"root=UUID={UUID} ro console=tty0 console=ttyS0,115200 rootflags=subvol=systems/root"
    )


def test_a_root_in_the_default_subvolume_needs_no_name(tmp_path: Path) -> None:
    capable("--subvol")
    machine = make_machine(tmp_path / "top/root")
    top = Machine(folder=tmp_path / "top", kernels=machine.kernels, ramdisks=machine.ramdisks)
    path = btrfs(tmp_path / "disk.raw", top, "--subvol", "default:root")
    same(path, machine)
    assert looked_at(path, line) == f"root=UUID={UUID} ro console=tty0 console=ttyS0,115200"


def test_a_subvolume_within_the_root_is_a_folder_of_it(tmp_path: Path) -> None:
    capable("--subvol")
    machine = make_machine(tmp_path / "root")
    path = btrfs(tmp_path / "disk.raw", machine, "--subvol", "boot", "--subvol", "usr/lib")
    same(path, machine)


def test_a_snapshot_does_not_come_before_the_system(tmp_path: Path) -> None:
    capable("--subvol")
    machine = make_machine(tmp_path / "top/@")
    make_machine(tmp_path / "top/@snapshot").folder.joinpath("boot/vmlinuz-9.9").write_bytes(b"older")
    top = Machine(folder=tmp_path / "top", kernels=machine.kernels, ramdisks=machine.ramdisks)
    path = btrfs(tmp_path / "disk.raw", top, "--subvol", "ro:@snapshot", "--subvol", "rw:@")
    assert looked_at(path, lambda _, system: system.root.subvolume) == "@"


def test_one_of_several_devices_is_refused(tmp_path: Path, machine: Machine) -> None:
    path = btrfs(tmp_path / "disk.raw", machine)
    with path.open("r+b") as file:
        file.seek(0x10000 + 0x88)
        file.write((2).to_bytes(8, "little"))
    with open_image(path) as image:
        assert "2 devices" in image.volumes[0].problem


def line(_: Image, system: System) -> str:
    return command_line(system, system.choose(NEW))


def capable(option: str) -> None:
    needed("mkfs.btrfs")
    told = subprocess.run(["mkfs.btrfs", "--help"], capture_output=True, text=True, check=False)
    if option not in told.stdout + told.stderr:
        pytest.skip(f"this mkfs.btrfs has no {option}")
