"""Makes a disk start with GRUB under BIOS and UEFI, without a loop device and without grub-install.

GRUB's modules and first sector are those of the root tree, so an image of one release is the same on every host. GRUB
reads ``/boot/grub/grub.cfg`` of the root filesystem, found by its UUID: a kernel that the running machine installs
later is the one that boots next. The small script that finds it lies in a memory disk of the boot loader, as only
scripts read from a filesystem may have conditions.

Offsets are those of GRUB's ``include/grub/i386/pc/boot.h`` and ``grub-core/boot/i386/pc/{boot,diskboot}.S``.
"""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path

from imagewright.disk import sizes, tools
from imagewright.errors import PlanError

SECTOR = 512
EFI_PATH = "EFI/BOOT/BOOTX64.EFI"
"""Where UEFI firmware looks on a disk that it was never told about."""

BIOS_PLATFORM = "i386-pc"
EFI_PLATFORM = "x86_64-efi"

_PACKAGES = {BIOS_PLATFORM: "grub-pc-bin", EFI_PLATFORM: "grub-efi-amd64-bin"}
_FOLDER = "usr/lib/grub"

_CODE_SIZE = 440  # what follows in the first sector belongs to the partition table
_KERNEL_SECTOR = 0x5C  # GRUB_BOOT_MACHINE_KERNEL_SECTOR
_DRIVE_CHECK = 0x66  # GRUB_BOOT_MACHINE_DRIVE_CHECK
_BLOCK_LIST = SECTOR - 12  # the first entry of diskboot.S's block list
_KERNEL_SEGMENT = 0x820  # GRUB_BOOT_MACHINE_KERNEL_SEG + 0x20: the first sector lies at 0x800 already

_COMMON_MODULES = (
    "normal configfile memdisk tar boot linux chain extcmd minicmd help ls cat echo read sleep test true eval "
    "regexp search search_fs_uuid search_fs_file search_label part_gpt part_msdos ext2 fat gzio xzio zstd lzopio "
    "loadenv gettext terminal serial font gfxterm gfxterm_background gfxmenu video video_fb video_bochs video_cirrus "
    "all_video png jpeg tga bitmap bitmap_scale keystatus datetime date probe reboot halt password_pbkdf2 cpuid smbios"
)
_PLATFORM_MODULES = {
    BIOS_PLATFORM: ("biosdisk", "vbe", "vga", "linux16", "ntldr"),
    EFI_PLATFORM: ("efi_gop", "efi_uga", "efifwsetup", "lsefi", "bli"),
}

_SCRIPT = """\
if serial --unit=0 --speed=115200; then
  terminal_input console serial
  terminal_output console serial
fi
if search --no-floppy --fs-uuid --set=root {uuid}; then
  if [ -f ($root)/boot/grub/grub.cfg ]; then
    set prefix=($root)/boot/grub
    export prefix
    configfile $prefix/grub.cfg
  else
    echo "The root filesystem {uuid} ($root) has no /boot/grub/grub.cfg."
    echo "Run update-grub in the root tree. What follows is GRUB's command line."
  fi
else
  echo "No disk has the root filesystem {uuid}."
  echo "What follows is GRUB's command line."
fi
"""


def missing_packages(target: str) -> tuple[str, ...]:
    """The Debian packages that the root tree lacks for its disk to start under BIOS and UEFI."""
    needed = {BIOS_PLATFORM: ("boot.img", "kernel.img", "moddep.lst"), EFI_PLATFORM: ("kernel.img", "moddep.lst")}
    return tuple(
        _PACKAGES[platform]
        for platform, names in needed.items()
        if not all((Path(target) / _FOLDER / platform / name).is_file() for name in names)
    )


def check(target: str) -> None:
    """Raise PlanError if the root tree lacks GRUB's modules."""
    missing = missing_packages(target)
    if missing:
        raise PlanError(
            "no-boot-loader",
            f"The root tree lacks the boot loader's files of {' and '.join(missing)}",
            where=(f"folder of the root tree: /{_FOLDER}",),
            cause="no flavour that was chosen installs them",
            hint=f"add -p {','.join(missing)}",
        )


def bios_image(target: str, root_uuid: str, epoch: int, scratch: Path) -> bytes:
    """``core.img`` for BIOS: GRUB with the script that finds the root filesystem."""
    return _make_image(target, BIOS_PLATFORM, root_uuid, epoch, scratch)


def efi_image(target: str, root_uuid: str, epoch: int, scratch: Path) -> bytes:
    """``BOOTX64.EFI`` for UEFI: GRUB with the script that finds the root filesystem."""
    return _make_image(target, EFI_PLATFORM, root_uuid, epoch, scratch)


def embed_bios(target: str, core: bytes, disk: Path, offset: int, size: int) -> None:
    """Write GRUB's first sector to the disk's, and ``core`` to the BIOS boot partition at byte ``offset``.

    Raises PlanError if the partition of ``size`` bytes is too small.
    """
    if len(core) > size:
        raise PlanError(
            "image-too-small",
            f"The BIOS boot partition has {sizes.show(size)}, GRUB needs {sizes.show(len(core))}",
            hint="give the partition with the role bios-boot more room",
        )
    first = (Path(target) / _FOLDER / BIOS_PLATFORM / "boot.img").read_bytes()[:SECTOR]
    boot, rest = patched(first, core, offset // SECTOR)
    with disk.open("r+b") as file:
        file.write(boot[:_CODE_SIZE])
        file.seek(offset)
        file.write(rest)


def patched(boot: bytes, core: bytes, sector: int) -> tuple[bytes, bytes]:
    """``boot.img`` and ``core.img`` as grub-bios-setup would leave them for a core that starts at ``sector``."""
    sectors = -(-len(core) // SECTOR)
    first, rest = bytearray(boot), bytearray(core)
    struct.pack_into("<Q", first, _KERNEL_SECTOR, sector)
    # Two no-ops in place of a jump: trust the drive number of the firmware, as for every hard disk.
    first[_DRIVE_CHECK : _DRIVE_CHECK + 2] = b"\x90\x90"
    struct.pack_into("<QHH", rest, _BLOCK_LIST, sector + 1, sectors - 1, _KERNEL_SEGMENT)
    return bytes(first), bytes(rest)


def modules_of(folder: Path, platform: str) -> Sequence[str]:
    """The modules of ``folder`` that go into the boot loader; what a release does not have is left out."""
    wanted = dict.fromkeys((*_COMMON_MODULES.split(), *_PLATFORM_MODULES[platform]))
    return [name for name in wanted if (folder / f"{name}.mod").is_file()]


def _make_image(target: str, platform: str, root_uuid: str, epoch: int, scratch: Path) -> bytes:
    folder = Path(target) / _FOLDER / platform
    memdisk, image = scratch / f"{platform}.tar", scratch / f"{platform}.img"
    memdisk.write_bytes(_archive({"boot/grub.cfg": _SCRIPT.format(uuid=root_uuid).encode()}, epoch))
    argv = ["grub-mkimage", "--format", platform, "--directory", str(folder), "--memdisk", str(memdisk)]
    # Without a folder in it, GRUB for UEFI would put that of its own file behind the prefix.
    argv += ["--prefix", "(memdisk)/boot", "--output", str(image), *modules_of(folder, platform)]
    try:
        tools.run(argv, epoch=epoch)
        return image.read_bytes()
    finally:
        memdisk.unlink()
        image.unlink(missing_ok=True)


def _archive(files: dict[str, bytes], epoch: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), epoch, 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
