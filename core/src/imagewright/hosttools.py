"""The programs of the host that the project calls, why, and the packages that bring them.

Only what a host may lack is listed by name; a program that is not in the list (a driver's own tool, say) can be asked
for just the same, and then nobody knows its package.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Purpose(StrEnum):
    """What a program is needed for."""

    BUILD = "building images"
    BOOT = "booting images"
    APART = "keeping builds apart from the host's network"
    DEPLOY = "deploying images to machines"
    CHECKS = "checking flavours and running the tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program, or (with ``files``) something that any one of these files shows to be there.

    ``packages`` holds the package per distribution id of os-release.
    """

    program: str
    why: str = ""
    purpose: Purpose = Purpose.BUILD
    packages: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """The package that brings it on this host; empty if nobody knows."""
        return next((self.packages[name] for name in distribution() if name in self.packages), "")

    def find(self) -> Path | None:
        """Where it is."""
        if self.files:
            return next((path for name in self.files if (path := Path(name)).exists()), None)
        return find(self.program)


def _tool(
    program: str,
    package: str,
    why: str,
    purpose: Purpose = Purpose.BUILD,
    *,
    ubuntu: str = "",
    files: tuple[str, ...] = (),
) -> Tool:
    packages = {"debian": package, "ubuntu": ubuntu or package}
    return Tool(program=program, why=why, purpose=purpose, packages=packages, files=files)


TOOLS: tuple[Tool, ...] = (
    _tool("newuidmap", "uidmap", "maps the ids of the build's user namespace"),
    _tool("newgidmap", "uidmap", "maps the ids of the build's user namespace"),
    _tool("mmdebstrap", "mmdebstrap", "makes the root tree of Debian"),
    _tool("apt-get", "apt", "fetches packages for mmdebstrap"),
    _tool("dpkg-deb", "dpkg", "unpacks the first packages of a root tree"),
    _tool(
        "debian-archive-keyring",
        "debian-archive-keyring",
        "holds the keys of Debian's archive",
        files=(
            "/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-keyring.pgp",
        ),
    ),
    _tool("tar", "tar", "writes root trees"),
    _tool("mke2fs", "e2fsprogs", "makes the root filesystem"),
    _tool("debugfs", "e2fsprogs", "finishes the root filesystem without mounting it"),
    _tool("sfdisk", "fdisk", "writes the partition table"),
    _tool("mkfs.vfat", "dosfstools", "makes the EFI system partition"),
    _tool("mcopy", "mtools", "fills the EFI system partition without mounting it"),
    _tool("mmd", "mtools", "fills the EFI system partition without mounting it"),
    _tool("grub-mkimage", "grub-common", "makes the boot loader"),
    _tool("qemu-img", "qemu-utils", "makes the disks of booted images", Purpose.BOOT),
    _tool("gpgv", "gpgv", "checks signatures, such as that of a cloud image"),
    _tool("unsquashfs", "squashfs-tools", "unpacks cloud images in the form of squashfs"),
    _tool("pasta", "passt", "connects a build's own network", Purpose.APART),
    _tool("qemu-system-x86_64", "qemu-system-x86", "runs images", Purpose.BOOT),
    _tool(
        "OVMF",
        "ovmf",
        "is the UEFI firmware of `imagewright boot --uefi`",
        Purpose.BOOT,
        files=("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/ovmf/OVMF.fd"),
    ),
    _tool("ssh", "openssh-client", "logs in to booted images", Purpose.BOOT),
    _tool("ssh-keygen", "openssh-client", "makes the fresh key of a boot", Purpose.BOOT),
    _tool("ssh-keyscan", "openssh-client", "reads the host keys of booted images", Purpose.BOOT),
    _tool("setpriv", "util-linux", "ends a machine with whoever started it", Purpose.BOOT),
    _tool(
        "qemu-block-extra",
        "qemu-block-extra",
        "lets qemu-img write disks over iSCSI",
        Purpose.DEPLOY,
        files=("/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so",),
    ),
    _tool(
        "pxelinux.0",
        "pxelinux",
        "starts machines over the network in the tests",
        Purpose.CHECKS,
        files=("/usr/lib/PXELINUX/pxelinux.0",),
    ),
    _tool(
        "ldlinux.c32",
        "syslinux-common",
        "starts machines over the network in the tests",
        Purpose.CHECKS,
        files=("/usr/lib/syslinux/modules/bios/ldlinux.c32",),
    ),
    _tool("tgtd", "tgt", "offers disks over iSCSI to the tests", Purpose.CHECKS),
    _tool("tgtadm", "tgt", "offers disks over iSCSI to the tests", Purpose.CHECKS),
    _tool("shellcheck", "shellcheck", "checks hook scripts", Purpose.CHECKS),
    _tool("gpg", "gpg", "signs the images of the tests", Purpose.CHECKS),
    _tool("sudo", "sudo", "runs the namespace helper in the tests", Purpose.CHECKS),
    _tool("openssl", "openssl", "checks signatures in the tests", Purpose.CHECKS),
    _tool("e2fsck", "e2fsprogs", "checks the filesystems of the tests", Purpose.CHECKS),
    _tool("sgdisk", "gdisk", "checks the partition tables of the tests", Purpose.CHECKS),
    _tool(
        "GRUB for BIOS",
        "grub-pc-bin",
        "gives the tests of the boot loader its modules",
        Purpose.CHECKS,
        files=("/usr/lib/grub/i386-pc/moddep.lst",),
    ),
    _tool(
        "GRUB for UEFI",
        "grub-efi-amd64-bin",
        "gives the tests of the boot loader its modules",
        Purpose.CHECKS,
        files=("/usr/lib/grub/x86_64-efi/moddep.lst",),
    ),
    _tool("mkfs.xfs", "xfsprogs", "makes images that the tests take kernels out of", Purpose.CHECKS),
    _tool("mkfs.btrfs", "btrfs-progs", "makes images that the tests take kernels out of", Purpose.CHECKS),
    _tool("gpg-agent", "gpg-agent", "makes the keys of these repositories", Purpose.CHECKS),
    _tool("zsh", "zsh", "is a shell whose completion is tested", Purpose.CHECKS),
    _tool("fish", "fish", "is a shell whose completion is tested", Purpose.CHECKS),
    _tool("memtester", "memtester", "exercises memory in the tests", Purpose.CHECKS),
    _tool("busybox", "busybox-static", "runs the init of ramdisks in the tests", Purpose.CHECKS),
    _tool("ip", "iproute2", "makes the networks of the tests", Purpose.CHECKS),
)
"""Every program that is not part of the smallest Debian or Ubuntu."""

EVERYWHERE = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Folders that an ordinary user's PATH often lacks and whose programs work without root too."""


def search_path(environment: Mapping[str, str] = os.environ) -> str:
    """PATH with the system's own folders behind it."""
    parts = [part for part in environment.get("PATH", os.defpath).split(os.pathsep) if part]
    return os.pathsep.join(dict.fromkeys([*parts, *EVERYWHERE]))


def find(program: str) -> Path | None:
    """The path of a program, on PATH or in the system's own folders."""
    path = shutil.which(program, path=search_path())
    return Path(path) if path else None


def tool(program: str) -> Tool:
    """What is known of a program."""
    return next((tool for tool in TOOLS if tool.program == program), Tool(program=program))


def missing(programs: Iterable[str]) -> tuple[Tool, ...]:
    """Those of the programs that this host lacks, each once, in the order given."""
    return tuple(known for name in dict.fromkeys(programs) if (known := tool(name)).find() is None)


def missing_for(*purposes: Purpose) -> tuple[Tool, ...]:
    """The tools of these purposes that this host lacks."""
    return tuple(known for known in TOOLS if known.purpose in purposes and known.find() is None)


def packages_of(tools: Iterable[Tool], name: str = "") -> tuple[str, ...]:
    """The packages that bring ``tools``, sorted; for the distribution with that id, else for this host's."""
    found = {tool.packages.get(name, "") if name else tool.package for tool in tools}
    return tuple(sorted(found - {""}))


def distribution(path: Path = Path("/etc/os-release")) -> tuple[str, ...]:
    """The ids of this host's distribution, its own first, then those that it is like: ``("linuxmint", "ubuntu")``."""
    values = _os_release(path)
    return tuple(dict.fromkeys([*values.get("ID", "").split(), *values.get("ID_LIKE", "").split()]))


def release(path: Path = Path("/etc/os-release")) -> str:
    """The name of this host's release, such as ``trixie``; empty if it has none."""
    return _os_release(path).get("VERSION_CODENAME", "")


def _os_release(path: Path) -> dict[str, str]:
    """The variables of os-release(5)."""
    values: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return values
    for line in lines:
        key, _, value = line.partition("=")
        values[key.strip()] = value.strip().strip("\"'")
    return values
