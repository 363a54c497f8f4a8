"""Which modules a ramdisk holds: the closure of modules.dep, softdeps, aliases, and what is built in."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
import zstandard
from imagewright.errors import StepFailed
from imagewright.ramdisk.contents import Contents
from imagewright.ramdisk.kernelmodules import KernelModules, module_name, versions
from imagewright.ramdisk.kernels import KernelSource, newest, put_kernel
from imagewright.ramdisk.roots import Root
from imagewright.ramdisk.staging import stage_kernel

VERSION = "6.1.0-18-amd64"
FOLDER = f"usr/lib/modules/{VERSION}"

DEPENDENCIES = """\
kernel/drivers/net/ethernet/mellanox/mlx4/mlx4_en.ko.xz: kernel/drivers/net/ethernet/mellanox/mlx4/mlx4_core.ko.xz
kernel/drivers/net/ethernet/mellanox/mlx4/mlx4_core.ko.xz:
kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko
kernel/fs/jbd2/jbd2.ko:
kernel/lib/crc16.ko:
kernel/crypto/crc32c-intel.ko:
kernel/drivers/scsi/isci.ko.zst: kernel/drivers/scsi/libsas.ko
kernel/drivers/scsi/libsas.ko:
"""


def compressed(name: str, content: bytes) -> bytes:
    if name.endswith(".xz"):
        return lzma.compress(content)
    return zstandard.compress(content) if name.endswith(".zst") else content


@pytest.fixture
def root(tmp_path: Path) -> Root:
    folder = tmp_path / FOLDER
    for line in DEPENDENCIES.splitlines():
        place = folder / line.partition(":")[0]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(compressed(place.name, b"\x7fELF a module\0"))
    (folder / "modules.dep").write_text(DEPENDENCIES)
    (folder / "modules.softdep").write_text("# soft\nsoftdep jbd2 pre: crypto-crc32c post: no-such\n")
    (folder / "modules.alias").write_text("alias pci:v000015B3* mlx4_core\nalias crypto-crc32c crc32c_intel\n")
    (folder / "modules.builtin").write_text("kernel/drivers/tty/serial/8250/8250.ko\nkernel/net/ipv6/ipv6.ko\n")
    (folder / "modules.builtin.modinfo").write_bytes(b"aes.alias=crypto-aes\0aes.license=GPL\0")
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / f"vmlinuz-{VERSION}").write_text("kernel\n")
    return Root(str(tmp_path), "tree")


def names(root: Root, *wanted: str) -> list[str]:
    selected = KernelModules(root, FOLDER).select((name, "who", False) for name in wanted)
    assert not selected.missing
    return [module_name(path) for path in selected.files]


def test_a_module_brings_what_it_needs_whatever_its_dash(root: Root) -> None:
    assert names(root, "mlx4-en") == ["mlx4_core", "mlx4_en"]


def test_softdeps_of_what_it_needs_come_too_by_their_alias_and_what_is_missing_of_them_does_not_matter(
    root: Root,
) -> None:
    assert names(root, "ext4") == ["crc32c_intel", "ext4", "jbd2", "crc16"]


def test_a_folder_of_the_kernel_is_all_below_it_with_what_that_needs(root: Root) -> None:
    assert names(root, "drivers/scsi/") == ["isci", "libsas"]


def test_what_is_built_in_by_name_or_alias_needs_no_file(root: Root) -> None:
    selected = KernelModules(root, FOLDER).select([("ipv6", "a", False), ("crypto-aes", "a", False)])
    assert (selected.files, selected.builtin, selected.missing) == ({}, ("ipv6", "crypto-aes"), {})


def test_what_is_missing_is_told_with_everybody_who_asks(root: Root) -> None:
    selected = KernelModules(root, FOLDER).select([("mlx9", "a", False), ("mlx9", "b", False), ("mlx8", "c", True)])
    assert selected.missing == {"mlx9": ("a", "b")}


def test_everybody_who_asks_is_recorded_down_the_closure(root: Root) -> None:
    selected = KernelModules(root, FOLDER).select([("mlx4_en", "a", False), ("mlx4_core", "b", False)])
    core = "kernel/drivers/net/ethernet/mellanox/mlx4/mlx4_core.ko.xz"
    assert selected.files[core] == ("a", "b")


def test_the_newest_kernel_is_taken_by_the_order_of_versions(root: Root, tmp_path: Path) -> None:
    for version in ("6.1.0-9-amd64", "6.1.0-18-amd64", "6.1.0-18-rc1"):
        folder = tmp_path / "usr/lib/modules" / version
        folder.mkdir(exist_ok=True)
        (folder / "modules.dep").touch()
    (tmp_path / "usr/lib/modules" / "7.0-without-index").mkdir()
    assert len(versions(root)) == 3
    assert newest(root) == VERSION


def firmware(root: Root, module: str, *wanted: str) -> None:
    content = b"\x7fELF\0" + b"".join(b"firmware=" + name.encode() + b"\0" for name in wanted)
    Path(root.place(f"{FOLDER}/{module}")).write_bytes(compressed(module, content))


def test_firmware_comes_with_the_modules_that_name_it_however_either_is_compressed(root: Root) -> None:
    firmware(root, "kernel/drivers/net/ethernet/mellanox/mlx4/mlx4_core.ko.xz", "mlx4/one.bin", "gone.bin")
    firmware(root, "kernel/drivers/scsi/isci.ko.zst", "isci/isci_*.bin")
    firmware(root, "kernel/drivers/scsi/libsas.ko", "libsas.bin")
    top = Path(root.folder, "usr/lib/firmware")
    (top / "mlx4").mkdir(parents=True)
    (top / "isci").mkdir()
    (top / "mlx4" / "two.bin.xz").write_bytes(b"compressed")
    (top / "mlx4" / "one.bin.xz").symlink_to("two.bin.xz")
    (top / "isci" / "isci_1.bin").write_bytes(b"1")
    (top / "isci" / "isci_2.bin.zst").write_bytes(b"2")
    (top / "isci" / "other.bin").write_bytes(b"3")
    (top / "libsas.bin").write_bytes(b"4")
    contents = Contents()
    wanted = [("mlx4_core", "adapters", False), ("isci", "disks", False)]
    put = put_kernel(contents, KernelSource(root=root, version=VERSION), wanted)
    held = {one.member.path: one for one in contents.finished()}
    assert [path for path in held if path.startswith("usr/lib/firmware/") and held[path].member.kind != "folder"] == [
        "usr/lib/firmware/isci/isci_1.bin",
        "usr/lib/firmware/isci/isci_2.bin.zst",
        "usr/lib/firmware/libsas.bin",
        "usr/lib/firmware/mlx4/one.bin.xz",
        "usr/lib/firmware/mlx4/two.bin.xz",
    ]
    assert held["usr/lib/firmware/isci/isci_1.bin"].asked == ("imagewright", "disks")
    assert put.report["firmware_missing"] == ["gone.bin"]
    assert put.report["firmware"]["usr/lib/firmware/libsas.bin"] == ["kernel/drivers/scsi/libsas.ko"]


def test_a_copy_is_a_root_of_which_is_known_what_was_read(root: Root, tmp_path: Path) -> None:
    firmware(root, "kernel/drivers/scsi/isci.ko.zst", "isci.bin")
    top = Path(root.folder, "usr/lib/firmware")
    top.mkdir(parents=True)
    (top / "isci.bin").write_bytes(b"1")
    staged = stage_kernel(KernelSource(root=root, version=VERSION), [("isci", "disks", False)], tmp_path / "copy")
    copy = Root(str(tmp_path / "copy"), "copy")
    assert staged.asked["kernel/drivers/scsi/isci.ko.zst"][2] == ("isci.bin",)
    # nobody reads it again: what is known is taken, right or wrong
    known = {path: (size, moment, ("other.bin",)) for path, (size, moment, _) in staged.asked.items()}
    again = put_kernel(Contents(), KernelSource(root=copy, version=VERSION, known=known), [("isci", "disks", False)])
    assert again.report["firmware_missing"] == ["other.bin"]
    Path(copy.place(f"{FOLDER}/kernel/drivers/scsi/isci.ko.zst")).write_bytes(
        zstandard.compress(b"\0firmware=isci.bin\0")
    )
    changed = Root(copy.folder, "copy")
    read = put_kernel(Contents(), KernelSource(root=changed, version=VERSION, known=known), [("isci", "disks", False)])
    assert list(read.report["firmware"]) == ["usr/lib/firmware/isci.bin"]


@pytest.mark.parametrize("module", ["isci.ko.zst", "../net/ethernet/mellanox/mlx4/mlx4_core.ko.xz"])
def test_a_module_that_cannot_be_decompressed_is_named(root: Root, module: str) -> None:
    place = Path(root.place(f"{FOLDER}/kernel/drivers/scsi/{module}"))
    place.write_bytes(b"no such compression")
    Path(root.folder, "usr/lib/firmware").mkdir(parents=True)
    Path(root.folder, "usr/lib/firmware/any.bin").write_bytes(b"1")
    with pytest.raises(StepFailed, match=rf"{place.name} cannot be decompressed"):
        put_kernel(Contents(), KernelSource(root=root, version=VERSION), [(module_name(place.name), "who", False)])


def test_a_module_that_the_index_names_and_nobody_has_is_an_error(root: Root) -> None:
    Path(root.place(f"{FOLDER}/kernel/fs/ext4/ext4.ko")).unlink()
    with pytest.raises(StepFailed, match="modules.dep names it"):
        put_kernel(Contents(), KernelSource(root=root, version=VERSION), [("ext4", "who", False)])


def test_a_kernel_without_modules_and_modules_without_a_kernel_say_what_there_is(root: Root) -> None:
    with pytest.raises(StepFailed, match="there is no kernel 7.0") as caught:
        put_kernel(Contents(), KernelSource(root=root, version="7.0"), [])
    assert VERSION in caught.value.cause
    Path(root.place("boot/vmlinuz-7.0")).write_text("kernel\n")
    with pytest.raises(StepFailed, match="no modules of the kernel 7.0"):
        put_kernel(Contents(), KernelSource(root=Root(root.folder, "tree"), version="7.0"), [])
